//! The kernel under the agent: the hooks it gets, what its verifier says, what it lacks, and how a host that cannot be
//! traced is told so: in one sentence.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use rustix::mount::{MountFlags, mount, mount_bind};
use tests::agent::{Hooks, Setup, binary, need_root};
use tests::otlp::Kind;
use tests::outcome::TestResult;
use tests::peer::Connection;
use tests::programs::{nginx, verifier};
use tests::runner::{Place, Suite};
use tests::vm;

/// Where the kernel says how it is locked down.
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// The verifier's limits, of which no program may come near.
const MOST_INSTRUCTIONS: u64 = 1_000_000 * 7 / 10;
const MOST_STACK: u64 = 512 * 7 / 10;

pub(crate) fn add(suite: &mut Suite) {
    suite.at(Place::InVm, "kernels::hooks_and_what_the_verifier_says", 60, hooks_and_verifier);
    suite.at(Place::Everywhere, "kernels::optional_program_is_refused", 60, optional_is_refused);
    suite.at(Place::Everywhere, "kernels::required_program_is_refused", 60, required_is_refused);
    suite.at(Place::Everywhere, "kernels::no_type_information", 30, no_types);
    suite.at(Place::Everywhere, "kernels::confidentiality", 30, confidentiality);
    suite.at(Place::Everywhere, "kernels::too_old", 30, too_old);
    suite.at(Place::Everywhere, "kernels::not_root", 30, not_root);
}

/// The best set is chosen and every other one works; what the verifier followed is written down and far from its limits.
fn hooks_and_verifier() -> TestResult {
    let series = vm::series()?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let mut doctor = Command::new(binary()?);
    // With all that is loaded only where it is asked for.
    doctor
        .arg("doctor")
        .env("SPANWIRE_HEADERS", "curl")
        .env("LD_PRELOAD", verifier::preload()?)
        .env("VERIFIER_LOG", &log);
    let output = doctor.output()?;
    let told = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "doctor: {told}{}", String::from_utf8_lossy(&output.stderr));
    vm::record("doctor", &told)?;
    let wanted: Vec<&str> = Hooks::each().iter().map(|hooks| hooks.name()).collect();
    let works: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("hooks ")?.trim().strip_suffix(": works"))
        .collect();
    ensure!(works == wanted, "{series} must have {wanted:?}:\n{told}");
    let usable = format!("yes, with the hooks at {}", wanted[0]);
    ensure!(told.lines().any(|line| line.ends_with(&usable)), "{told}");

    let mut verified = verifier::read_log(&std::fs::read_to_string(&log)?);
    verified.sort_by(|one, other| {
        (&one.name, one.instructions).cmp(&(&other.name, other.instructions))
    });
    verified.retain(|program| !program.name.starts_with("aya"));
    // Programs that several sets have are loaded several times; the costliest counts.
    let mut costliest: Vec<verifier::Verified> = Vec::new();
    for program in verified {
        match costliest.last_mut() {
            Some(last) if last.name == program.name => *last = program,
            _ => costliest.push(program),
        }
    }
    ensure!(costliest.len() >= 5, "only {costliest:?} were seen to be loaded");
    let mut record = String::new();
    for program in &costliest {
        let stack = program.stack().with_context(|| format!("no statistics: {program:?}"))?;
        ensure!(program.instructions > 0, "no statistics: {program:?}");
        ensure!(
            program.instructions < MOST_INSTRUCTIONS && stack < MOST_STACK,
            "too near a limit: {program:?}"
        );
        record += &format!("{} {} {stack}\n", program.name, program.instructions);
    }
    vm::record("programs", &record)
}

/// One feature is off, in one line; everything else works.
fn optional_is_refused() -> TestResult {
    let agent = refuse(Setup::default(), "process_exec")?.start()?;
    let front = nginx::start(None)?;
    ensure!(Connection::open(&front.server.target)?.get("/hello")?.body == b"hello\n");
    agent.wait("both spans", |spans| {
        !spans.of("nginx", Kind::Server).is_empty() && !spans.of("e2e", Kind::Client).is_empty()
    })?;
    let lines: Vec<String> =
        agent.lines().into_iter().filter(|line| line.contains("process_exec")).collect();
    let [line] = lines.as_slice() else { anyhow::bail!("not one line: {lines:?}") };
    ensure!(
        line.contains("names of short-lived processes: off, process_exec is refused"),
        "{line:?}"
    );
    agent.stop()?;
    Ok(())
}

/// One clear sentence, and no agent.
fn required_is_refused() -> TestResult {
    need_root()?;
    let mut run = Command::new(binary()?);
    run.arg("run").env("LD_PRELOAD", verifier::preload()?).env("VERIFIER_REFUSE", "tcp_destroyed");
    let sentence = refusal(&mut run)?;
    ensure!(
        sentence.contains("no set of hooks works on this kernel")
            && sentence.contains("tcp_destroyed is refused"),
        "{sentence:?}"
    );
    Ok(())
}

fn refuse(setup: Setup, program: &str) -> anyhow::Result<Setup> {
    let library = verifier::preload()?.display().to_string();
    Ok(setup.environment("LD_PRELOAD", library).environment("VERIFIER_REFUSE", program))
}

fn no_types() -> TestResult {
    need_root()?;
    let mut run = Command::new(binary()?);
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe {
        run.arg("run").pre_exec(|| {
            own_mounts()?;
            Ok(mount("none", "/sys/kernel/btf", "tmpfs", MountFlags::empty(), None)?)
        })
    };
    let sentence = refusal(&mut run)?;
    ensure!(
        sentence.contains("this kernel offers no type information")
            && sentence.contains("CONFIG_DEBUG_INFO_BTF=y"),
        "{sentence:?}"
    );
    Ok(())
}

/// On a kernel that was booted so, and elsewhere on one that says it was.
fn confidentiality() -> TestResult {
    need_root()?;
    let mut run = Command::new(binary()?);
    run.arg("run");
    let is_real = || {
        std::fs::read_to_string("/proc/cmdline")
            .is_ok_and(|line| line.contains("lockdown=confidentiality"))
    };
    let told = tempfile::NamedTempFile::new()?;
    std::fs::write(told.path(), "none integrity [confidentiality]\n")?;
    if !is_real() {
        let told = told.path().to_owned();
        // SAFETY: the closure makes system calls only; its paths fit on the stack.
        unsafe {
            run.pre_exec(move || {
                own_mounts()?;
                if !Path::new(LOCKDOWN).exists() {
                    mount(
                        "securityfs",
                        "/sys/kernel/security",
                        "securityfs",
                        MountFlags::empty(),
                        None,
                    )?;
                }
                Ok(mount_bind(&told, LOCKDOWN)?)
            })
        };
    }
    let sentence = refusal(&mut run)?;
    ensure!(sentence.contains("kernel lockdown is in confidentiality mode"), "{sentence:?}");
    Ok(())
}

/// A kernel that calls itself 2.6, as it does to programs that cannot count further, and has no type information, as
/// such a kernel has none.
fn too_old() -> TestResult {
    /// `UNAME26` of `personality(2)`.
    const UNAME26: libc::c_ulong = 0x0002_0000;
    need_root()?;
    let mut run = Command::new(binary()?);
    // SAFETY: the closure makes system calls only and allocates nothing.
    unsafe {
        run.arg("run").pre_exec(|| {
            own_mounts()?;
            mount("none", "/sys/kernel/btf", "tmpfs", MountFlags::empty(), None)?;
            match libc::personality(UNAME26) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        })
    };
    let sentence = refusal(&mut run)?;
    ensure!(sentence.contains("this kernel is 2.6; spanwire needs 5.10 or newer"), "{sentence:?}");
    Ok(())
}

fn not_root() -> TestResult {
    const NOBODY: u32 = 65534;
    need_root()?;
    // Where nobody may come, too.
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let copy = folder.path().join("spanwire");
    std::fs::copy(binary()?, &copy)?;
    let sentence = refusal(Command::new(&copy).arg("run").uid(NOBODY).gid(NOBODY))?;
    ensure!(sentence.contains("spanwire must run as root: try again with sudo"), "{sentence:?}");
    Ok(())
}

/// Mounts that this process makes from now on are nobody else's.
fn own_mounts() -> std::io::Result<()> {
    // SAFETY: it is called between fork and exec, where there is one thread and nothing shares its file system.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS)? };
    let private =
        rustix::mount::MountPropagationFlags::PRIVATE | rustix::mount::MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", private)?)
}

/// Runs a command that must end with exit code 1 and one sentence, and gives that.
fn refusal(command: &mut Command) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } =
        command.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT").output()?;
    let said = String::from_utf8_lossy(&stderr).into_owned();
    ensure!(status.code() == Some(1) && stdout.is_empty(), "{status}: {said}");
    let lines: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("spanwire: info: mounted")).collect();
    let [sentence] = lines.as_slice() else { anyhow::bail!("not one sentence: {said}") };
    ensure!(!sentence.contains("panicked"), "{sentence}");
    Ok((*sentence).to_owned())
}
