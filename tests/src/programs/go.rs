//! Go programs, built into the cache: those of the standard library, and whatever other modules there are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Server, cache, fingerprint, installed, workload};
use crate::listening::free_port;
use crate::process;

/// The tour's server.
///
/// # Errors
/// When Go is missing, or it does not come up.
pub fn tour_server(service: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = Command::new(binary("tourserver")?);
    Server::on_port(service, port, command.arg(format!("127.0.0.1:{port}")))
}

/// The tour's client, without its arguments.
///
/// # Errors
/// When Go is missing.
pub fn tour_client() -> anyhow::Result<Command> {
    Ok(Command::new(binary("tourclient")?))
}

/// One of the programs below `workloads/go`, built if it is not yet.
///
/// # Errors
/// When Go is missing, or it does not build.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    build("go", name, &[])
}

/// How a program is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    /// By a release of Go such as `1.21.13`, which comes through the module proxy; by the installed one if `None`.
    pub release: Option<&'static str>,
    /// With the versions of this file, `NAME.mod`, rather than with those of `go.mod`.
    pub module_file: Option<&'static str>,
    /// Without symbols and debugging information.
    pub stripped: bool,
    /// Position-independent.
    pub pie: bool,
}

impl How {
    /// In words, each after a `separator`.
    #[must_use]
    pub fn words(self, separator: &str) -> String {
        let said = [
            self.release,
            self.module_file,
            self.stripped.then_some("stripped"),
            self.pie.then_some("pie"),
        ];
        said.into_iter().flatten().map(|word| format!("{separator}{word}")).collect()
    }
}

/// The program `name` of a module below `workloads`, built if it is not yet. `shared` are files of the module that it is
/// also made of.
///
/// # Errors
/// When Go or a module is not to be had, or it does not build.
pub fn build(module: &str, name: &str, shared: &[&str]) -> anyhow::Result<PathBuf> {
    build_with(How::default(), module, name, shared)
}

/// The same, built like that.
///
/// # Errors
/// As [`build`].
pub fn build_with(how: How, module: &str, name: &str, shared: &[&str]) -> anyhow::Result<PathBuf> {
    let source = workload(module);
    let module_file = format!("{}.mod", how.module_file.unwrap_or("go"));
    let mut files = vec![source.join(&module_file), source.join(name).join("main.go")];
    files.extend(shared.iter().map(|file| source.join(file)));
    let built = cache("workloads")?.join(format!(
        "{}-{name}{}-{}",
        module.replace('/', "-"),
        how.words("-"),
        fingerprint(&files)?
    ));
    if !built.exists() {
        let part = built.with_extension("part");
        let mut build = Command::new(installed("go")?);
        build.current_dir(&source).env("GOFLAGS", "-mod=readonly").args(["build", "-trimpath"]);
        if let Some(release) = how.release {
            build.env("GOTOOLCHAIN", format!("go{release}"));
        }
        if how.module_file.is_some() {
            build.arg(format!("-modfile={module_file}"));
        }
        if how.stripped {
            build.args(["-ldflags", "-s -w"]);
        }
        if how.pie {
            build.arg("-buildmode=pie");
        }
        // Go 1.19 finds no package of its own module by a folder's name everywhere.
        build.arg("-o").arg(&part).arg(format!("{name}/main.go"));
        process::output(&mut build).with_context(|| format!("{module}/{name}, {how:?}"))?;
        std::fs::rename(part, &built)?;
    }
    Ok(built)
}

/// A backend's program: the package of that name, in the module below `backends`, built if it is not yet. `own` are files
/// of the module that it is also made of.
///
/// # Errors
/// When Go or a module is not to be had, or it does not build.
pub fn backend(name: &str, package: &str, own: &[&str]) -> anyhow::Result<PathBuf> {
    let go = installed("go")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("backends").join(name);
    let files: Vec<_> =
        ["go.mod", "go.sum"].iter().chain(own).map(|file| source.join(file)).collect();
    let built = cache(&format!("{name}-{}", fingerprint(&files)?))?.join(name);
    if !built.exists() {
        let part = built.with_extension("part");
        process::output(
            Command::new(go)
                .current_dir(&source)
                .env("GOFLAGS", "-mod=readonly")
                .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
                .arg(&part)
                .arg(package),
        )?;
        std::fs::rename(part, &built)?;
    }
    Ok(built)
}
