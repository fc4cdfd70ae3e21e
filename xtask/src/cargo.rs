//! Starting programs, cargo above all, so that their failure ends in one clear error.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::places;

/// The cargo that runs xtask, in the checkout, as if nobody had started it from a program that cargo runs.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(places::workspace());
    forget_xtask(&mut command);
    command
}

/// Takes away what `cargo run` says of xtask itself. Build scripts look at some of it (ring's does) and would run again
/// each time a cargo started here and one that is typed follow each other.
pub(crate) fn forget_xtask(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let told = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO"
        });
        if told {
            command.env_remove(name);
        }
    }
}

/// Runs a command to its end with its output shown; `else_do` says what to do when it fails.
pub(crate) fn run(command: &mut Command, else_do: &str) -> Result<()> {
    let name = name(command);
    let status = command.status().with_context(|| format!("cannot start {name}: {else_do}"))?;
    if !status.success() {
        bail!("{name} failed ({status}): {else_do}");
    }
    Ok(())
}

/// Builds a program from crates.io into a folder of its own below the cache. Cargo checks the checksums: the crate's by
/// the registry's index, everything below it by the crate's own lock file.
pub(crate) fn install(
    name: &str,
    version: &str,
    root: &Path,
    cache: &Path,
    options: &[&str],
    environment: &[(&str, &Path)],
) -> Result<()> {
    let mut cargo = command();
    cargo.current_dir(cache);
    cargo.args(["install", name, "--version", version, "--locked", "--quiet", "--force"]);
    cargo.args(options).arg("--root").arg(root);
    cargo.envs(environment.iter().copied());
    // Else it would be built among the workspace's own crates, or for another machine.
    for inherited in
        ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_TARGET", "RUSTFLAGS"]
    {
        cargo.env_remove(inherited);
    }
    run(
        &mut cargo,
        "see its message; it needs crates.io and a C compiler (on Debian: apt-get install gcc libc6-dev)",
    )
}

/// What a command prints, without the last line end.
pub(crate) fn output(command: &mut Command, else_do: &str) -> Result<String> {
    let name = name(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {name}: {else_do}"))?;
    if !output.status.success() {
        bail!("{name} failed ({}): {else_do}", output.status);
    }
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("{name} printed something that is no text: {else_do}"))?;
    Ok(text.trim_end().to_owned())
}

/// The file that a bare command name starts, or nothing when it is not installed. Daemons lie in folders that are not
/// in everybody's PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(daemons)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether xtask runs as root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // The owner of /proc/self is this process's effective user.
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command as people say it: `cargo build`, not `/…/bin/cargo`.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).display();
    match command.get_args().next() {
        Some(task) if !task.to_string_lossy().starts_with(['-', '/']) => {
            format!("{program} {}", task.display())
        }
        _ => program.to_string(),
    }
}
