//! `cargo xtask vm-test`: the agent on every kernel its users run, each booted for real.
//!
//! What is tested is in `tests/e2e`: the tests that are marked for every kernel. Here is only what it takes to boot
//! them: kernels, a file system, QEMU, and the comparison of what they write down with what the repository says.

mod image;
mod initrd;
mod kernels;
mod machine;
mod records;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Mutex,
    thread,
};

use anyhow::{Context, Result};

use crate::{build, cargo, places, say, system_packages, tally::Tally};
use initrd::Initrd;
use kernels::Kernel;
use machine::{Boot, Report};

/// The machine that has systemd as its first process, to run the agent's unit.
const UNDER_SYSTEMD: &str = "6.12 under systemd";

/// Memory of a machine, MiB.
const MEMORY: u32 = 1024;

/// Machines at once: each keeps one CPU busy.
const AT_ONCE: usize = 2;

/// What to do beside testing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Renew {
    /// Pin the newest kernels of each series first.
    pub(crate) kernels: bool,
    /// Write what the machines say into the repository instead of comparing it.
    pub(crate) records: bool,
}

/// The task. A filter is a kernel's series, or a part of a test's name.
pub(crate) fn task(filter: Option<&str>, renew: Renew) -> Result<ExitCode> {
    if renew.kernels {
        say::step("looking for newer kernels", kernels::renew)?;
    }
    let agent = build::agent(false)?;
    if let Err(error) = system_packages::prepare() {
        say::error(&error);
    }
    let tally = run(&agent, filter, renew.records, &|| ())?;
    print!("{}", tally.said);
    println!("{tally}");
    Ok(if tally.failed == 0 && !tally.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Boots every kernel and sums up. Where there is no QEMU or no Debian archive the kernels count as skipped, but on CI
/// as failed. One machine after the other, and more at once when `alone` has returned.
pub(crate) fn run(
    agent: &Path,
    filter: Option<&str>,
    renew: bool,
    alone: &(dyn Fn() + Sync),
) -> Result<Tally> {
    match prepare(agent) {
        Ok(prepared) => prepared.run(filter, renew, alone),
        Err(error) if std::env::var_os("CI").is_none() => {
            say::error(&error);
            say::note("the kernels are skipped");
            Ok(Tally { skipped: 1, ..Tally::default() })
        }
        Err(error) => Err(error),
    }
}

/// Everything that boots need.
struct Prepared {
    kernels: Vec<Kernel>,
    /// Holds the archives; a folder of its own for each boot.
    folder: PathBuf,
    /// What all machines have.
    base: PathBuf,
    /// What the one has besides that is booted with systemd.
    systemd: PathBuf,
}

fn prepare(agent: &Path) -> Result<Prepared> {
    cargo::find(machine::QEMU).with_context(|| {
        format!("{} is not installed: apt-get install qemu-system-x86", machine::QEMU)
    })?;
    let kernels = kernels::prepare()?;
    let tests = build::end_to_end_tests()?;
    let folder = places::target()?.join("vm");
    fs::create_dir_all(&folder)?;
    let (base, systemd) = (folder.join("base.cpio"), folder.join("systemd.cpio"));
    say::step("packing the virtual machines' file system", || {
        pack(agent, &tests, &base)?;
        pack_systemd(agent, &tests, &systemd)
    })?;
    Ok(Prepared { kernels, folder, base, systemd })
}

/// The file system: the tests as first process, the agent, and what the tests say they need.
fn pack(agent: &Path, tests: &Path, archive: &Path) -> Result<()> {
    let mut initrd = Initrd::default();
    for folder in ["/proc", "/sys", "/dev", "/tmp", "/run", "/var/log", "/var/lib"] {
        initrd.folder(folder);
    }
    initrd.program_at(Path::new("/init"), tests)?;
    initrd.program_at(Path::new("/spanwire"), agent)?;
    let home = places::cache()?;
    initrd.text(
        "/etc/environment",
        format!(
            "PATH=/usr/bin:/bin:/usr/sbin:/sbin\nHOME=/tmp\nXDG_CACHE_HOME={}\nSPANWIRE_BIN=/spanwire\nCI=true\n",
            home.parent().context("the cache has a folder")?.display()
        ),
    );
    add_needs(&mut initrd, tests, "--needs-in-vm")?;
    initrd.write(archive)
}

/// What the machine under systemd has besides: systemd, and the agent where its unit looks for it.
fn pack_systemd(agent: &Path, tests: &Path, archive: &Path) -> Result<()> {
    let mut initrd = Initrd::default();
    initrd.program_at(Path::new("/usr/bin/spanwire"), agent)?;
    let unit = places::workspace().join("deploy/spanwire.service");
    initrd.put_file(Path::new("/etc/systemd/system/spanwire.service"), &unit);
    add_needs(&mut initrd, tests, "--needs-under-systemd")?;
    initrd.write(archive)
}

/// Adds what the tests say that they need.
fn add_needs(initrd: &mut Initrd, tests: &Path, question: &str) -> Result<()> {
    let needs = cargo::output(Command::new(tests).arg(question), "see its message")?;
    for need in needs.lines() {
        let (kind, path) = need.split_once(' ').context("a need is a kind and a path")?;
        let path = Path::new(path);
        match kind {
            "program" => initrd.program(path)?,
            "file" => initrd.file(path)?,
            "tree" => initrd.tree(path, &|_| true)?,
            "programs" => {
                initrd.tree(path, &|_| true)?;
                for entry in fs::read_dir(path)? {
                    let file = entry?.path();
                    if file.is_file() {
                        initrd.libraries_of(&file)?;
                    }
                }
            }
            "python" => {
                let left_out =
                    ["test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "pydoc_data"];
                initrd.tree(path, &|path| {
                    !left_out.iter().any(|name| path.file_name().is_some_and(|file| file == *name))
                })?;
                for entry in fs::read_dir(path.join("lib-dynload"))? {
                    initrd.libraries_of(&entry?.path())?;
                }
            }
            _ => anyhow::bail!("the tests need a {kind}, which is not known here"),
        }
    }
    Ok(())
}

impl Prepared {
    fn run(&self, filter: Option<&str>, renew: bool, alone: &(dyn Fn() + Sync)) -> Result<Tally> {
        let boots = Mutex::new(self.boots(filter));
        let reports = Mutex::new(Vec::new());
        thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE)
                .map(|worker| {
                    let (boots, reports) = (&boots, &reports);
                    scope.spawn(move || {
                        if worker > 0 {
                            alone();
                        }
                        loop {
                            let Some(boot) = boots.lock().expect("nobody panics").pop() else {
                                return anyhow::Ok(());
                            };
                            let mut report = self.boot(&boot)?;
                            if report.died {
                                // An emulated kernel can die of its emulator. One that dies of us dies again.
                                say::note(format!(
                                    "{}: it died (see above), and goes again",
                                    boot.name
                                ));
                                report = self.boot(&boot)?;
                            }
                            reports.lock().expect("nobody panics").push((boot.name, report));
                        }
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("workers do not panic"))
        })?;
        let reports: Vec<(String, Report)> = reports.into_inner().expect("nobody panics");
        let mut tally = Tally::default();
        for (_, report) in &reports {
            tally += report.tally.clone();
        }
        // Part of the machines have part of the records, and most tests have none.
        let order: Vec<&str> = self.kernels.iter().map(|kernel| kernel.series.as_str()).collect();
        if filter.is_none() || renew && records::are_whole(&order, &reports) {
            tally += records::settle(&order, &reports, renew)?;
        }
        Ok(tally)
    }

    /// All boots that are asked for: one by the last word of its name, or all with the tests that are asked for. They are
    /// taken from the end: the newest kernels have the most to do and go first.
    fn boots(&self, filter: Option<&str>) -> Vec<Boot<'_>> {
        let of = |name: &str, kernel, tests: &[&str]| Boot {
            name: name.to_owned(),
            kernel,
            append: "",
            memory: MEMORY,
            tests: tests.iter().map(|&word| word.to_owned()).collect(),
        };
        let mut boots = Vec::new();
        if let Some(kernel) = self.kernels.iter().find(|kernel| kernel.series == "6.12") {
            boots.push(Boot {
                append: "lockdown=confidentiality",
                ..of("6.12 locked down", kernel, &["kernels::confidentiality"])
            });
            let tests = ["--under-systemd", "systemd::"];
            boots.push(Boot { memory: MEMORY * 3 / 2, ..of(UNDER_SYSTEMD, kernel, &tests) });
        }
        boots.extend(self.kernels.iter().map(|kernel| of(&kernel.series, kernel, &[])));
        let Some(filter) = filter else { return boots };
        let is_named = |boot: &Boot<'_>| boot.name.rsplit(' ').next() == Some(filter);
        if boots.iter().any(is_named) {
            boots.retain(is_named);
        } else {
            boots.retain(|boot| boot.tests.is_empty());
            for boot in &mut boots {
                boot.tests.push(filter.to_owned());
            }
        }
        boots
    }

    fn boot(&self, boot: &Boot<'_>) -> Result<Report> {
        let folder = self.folder.join(boot.name.replace(' ', "-"));
        fs::create_dir_all(&folder)?;
        let own = folder.join("own.cpio");
        let mut initrd = Initrd::default();
        for module in &boot.kernel.modules {
            let name = module.file_name().context("a module has a name")?;
            initrd.put_file(&Path::new("/modules").join(name), module);
        }
        initrd.text("/etc/kernel-series", &*boot.kernel.series);
        initrd.write(&own)?;
        let whole = folder.join("initrd.cpio");
        let mut parts = vec![self.base.clone(), own];
        if boot.name == UNDER_SYSTEMD {
            parts.push(self.systemd.clone());
        }
        machine::join(&parts, &whole)?;
        let report = boot.run(&whole, &folder);
        let _ = fs::remove_file(whole);
        report
    }
}
