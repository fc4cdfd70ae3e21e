//! Real kernels to boot: Debian's cloud builds, pinned in `tests/vm/kernels.txt`, fetched and unpacked into the cache.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::image;
use crate::{
    debian::{self, Archive},
    download, places, say,
};

/// The pins.
const PINS: &str = "tests/vm/kernels.txt";

/// Modules the tests need: pairs of network devices, to connect network namespaces.
const MODULES: [&str; 1] = ["veth"];

/// A kernel in the cache.
pub(crate) struct Kernel {
    /// Its series, such as `6.12`: what it is called everywhere.
    pub(crate) series: String,
    /// The uncompressed image.
    pub(crate) image: PathBuf,
    /// The modules the tests need, uncompressed.
    pub(crate) modules: Vec<PathBuf>,
}

impl Kernel {
    /// Whether it is a kernel that takes tasks off their CPU in the middle of a tracepoint (7.0).
    pub(crate) fn is_preemptible(&self) -> bool {
        number(&self.series) >= vec![7, 0]
    }

    /// Whether it is a kernel that allocates socket storage by `kmalloc_nolock` (6.18), which needs that instruction.
    pub(crate) fn needs_cmpxchg16b(&self) -> bool {
        number(&self.series) >= vec![6, 18]
    }
}

/// One pinned package.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pin {
    series: String,
    suite: String,
    package: String,
    version: String,
    sha256: String,
}

/// All pinned kernels, oldest first, fetched if they are not in the cache.
pub(crate) fn prepare() -> Result<Vec<Kernel>> {
    let pins = by_series(read()?);
    let cache = places::cache()?.join("kernels");
    fs::create_dir_all(&cache)?;
    let missing: Vec<&Pin> = pins
        .iter()
        .filter(|(_, pins)| !folder(&cache, pins).exists())
        .flat_map(|(_, pins)| pins)
        .collect();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|pin| pin.series.as_str()).collect();
        say::step(format!("fetching kernels ({}; about 30 s, once)", names.join(", ")), || {
            fetch(&cache, &pins, &missing)
        })?;
    }
    pins.iter().map(|(series, pins)| kernel(series, &folder(&cache, pins))).collect()
}

fn fetch(cache: &Path, pins: &[(String, Vec<Pin>)], missing: &[&Pin]) -> Result<()> {
    let mut suites: Vec<&str> = missing.iter().map(|pin| pin.suite.as_str()).collect();
    suites.dedup();
    let new = cache.join("new");
    let archive = Archive::open(&new, &suites)?;
    for (series, pins) in pins {
        if !missing.iter().any(|pin| pin.series == *series) {
            continue;
        }
        let unpacked = new.join(series);
        for pin in pins {
            let package = format!("{}={}", pin.package, pin.version);
            let file = archive.fetch(&package).with_context(|| {
                format!("{package} is not to be had: if Debian has deleted it, `cargo xtask vm-test --renew-kernels` takes the newest of the series and pins that")
            })?;
            download::verify(&file, &pin.sha256)?;
            debian::unpack(&file, &unpacked)?;
        }
        let made = new.join(format!("{series}.made"));
        fs::create_dir_all(&made)?;
        let compressed = find(&unpacked, &|name| name.starts_with("vmlinuz"))
            .with_context(|| format!("the packages of {series} bring no vmlinuz"))?;
        fs::write(made.join("vmlinux"), image::uncompressed(&fs::read(&compressed)?)?)?;
        for module in MODULES {
            let file = find(&unpacked, &|name| {
                name.strip_prefix(module).is_some_and(|rest| rest.starts_with(".ko"))
            })
            .with_context(|| format!("the packages of {series} bring no module {module}"))?;
            fs::write(made.join(format!("{module}.ko")), module_bytes(&file)?)?;
        }
        // Last, so that what is there under its name is whole.
        fs::rename(made, folder(cache, pins))?;
    }
    fs::remove_dir_all(new)?;
    Ok(())
}

fn kernel(series: &str, folder: &Path) -> Result<Kernel> {
    let modules = MODULES.iter().map(|module| folder.join(format!("{module}.ko"))).collect();
    Ok(Kernel { series: series.to_owned(), image: folder.join("vmlinux"), modules })
}

/// Where a series lies in the cache: another pin is another folder.
fn folder(cache: &Path, pins: &[Pin]) -> PathBuf {
    let checksums: String = pins.iter().map(|pin| format!("-{}", &pin.sha256[..8])).collect();
    cache.join(format!("{}{checksums}", pins[0].series))
}

fn module_bytes(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|ending| ending == "ko") {
        return Ok(fs::read(file)?);
    }
    let output = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(file)
        .output()
        .context("cannot start xz: apt-get install xz-utils")?;
    if !output.status.success() {
        bail!("xz cannot read {}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// The first file below a folder whose name fits.
fn find(folder: &Path, fits: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    entries.into_iter().find_map(|path| {
        if path.is_dir() {
            return find(&path, fits);
        }
        fits(path.file_name()?.to_str()?).then_some(path)
    })
}

/// Takes the newest packages of each series and pins them. The file's remarks stay.
pub(crate) fn renew() -> Result<()> {
    let text =
        fs::read_to_string(places::workspace().join(PINS)).context("cannot read the pins")?;
    let old = parse(&text)?;
    let mut suites: Vec<&str> = old.iter().map(|pin| pin.suite.as_str()).collect();
    suites.dedup();
    let folder = places::cache()?.join("kernels.renew");
    let archive = Archive::open(&folder, &suites)?;
    let mut renewed: String =
        text.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    for pin in &old {
        let new = newest(&archive, pin)?;
        let file = archive.fetch(&format!("{}={}", new.package, new.version))?;
        let sha256 = download::digest(&file)?;
        if new.package != pin.package || sha256 != pin.sha256 {
            say::note(format!("{}: {} becomes {}", pin.series, pin.package, new.package));
        }
        renewed +=
            &format!("{} {} {} {} {sha256}\n", new.series, new.suite, new.package, new.version);
    }
    fs::write(places::workspace().join(PINS), renewed)?;
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// The newest package of a pin's series and kind.
fn newest(archive: &Archive, pin: &Pin) -> Result<Pin> {
    // linux-image-6.12.107+deb13-cloud-amd64: kind, series, the rest of the version, flavour.
    let kind = pin.package.split_inclusive('-').take(2).collect::<String>();
    let names = format!("^{kind}{}[.+-].*cloud-amd64$", pin.series.replace('.', "\\."));
    let found = archive.versions(&names)?;
    let newest = found.into_iter().max_by(|(_, one), (_, other)| by_version(one, other));
    let (package, version) = newest.with_context(|| {
        format!(
            "{} has no kernel {} any more: take another series in {PINS}",
            pin.suite, pin.series
        )
    })?;
    Ok(Pin { package, version, ..pin.clone() })
}

/// Debian's own order of versions, by dpkg.
fn by_version(one: &str, other: &str) -> std::cmp::Ordering {
    let newer = Command::new("dpkg").args(["--compare-versions", one, "gt", other]).status();
    if newer.is_ok_and(|status| status.success()) {
        std::cmp::Ordering::Greater
    } else {
        std::cmp::Ordering::Less
    }
}

fn read() -> Result<Vec<Pin>> {
    parse(&fs::read_to_string(places::workspace().join(PINS)).context("cannot read the pins")?)
}

fn parse(text: &str) -> Result<Vec<Pin>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let [series, suite, package, version, sha256] =
                line.split_whitespace().map(str::to_owned).collect::<Vec<_>>().try_into().map_err(
                    |_| {
                        anyhow::anyhow!(
                            "{PINS}: {line:?} is not series, suite, package, version, SHA-256"
                        )
                    },
                )?;
            Ok(Pin { series, suite, package, version, sha256 })
        })
        .collect()
}

/// A series as numbers, to be compared.
fn number(series: &str) -> Vec<u32> {
    series.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

/// Pins together that belong together, oldest series first.
fn by_series(pins: Vec<Pin>) -> Vec<(String, Vec<Pin>)> {
    let mut series: BTreeMap<Vec<u32>, (String, Vec<Pin>)> = BTreeMap::new();
    for pin in pins {
        let (_, pins) =
            series.entry(number(&pin.series)).or_insert_with(|| (pin.series.clone(), Vec::new()));
        pins.push(pin);
    }
    series.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_pins_are_read_in_order() {
        let series: Vec<String> =
            by_series(read().unwrap()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(series, ["5.10", "6.1", "6.12", "7.2"]);
        assert!(parse("6.1 bookworm linux-image").is_err());
    }
}
