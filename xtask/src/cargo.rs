//! Starting programs, cargo above all, so that their failure ends in one clear error.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::places;

/// The cargo that runs xtask, in the checkout.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(places::workspace());
    command
}

/// Runs a command to its end with its output shown; `else_do` says what to do when it fails.
pub(crate) fn run(command: &mut Command, else_do: &str) -> Result<()> {
    let name = Path::new(command.get_program()).display().to_string();
    let status = command.status().with_context(|| format!("cannot start {name}: {else_do}"))?;
    if !status.success() {
        bail!("{name} failed ({status}): {else_do}");
    }
    Ok(())
}

/// What a command prints, without the last line end.
pub(crate) fn output(command: &mut Command, else_do: &str) -> Result<String> {
    let name = Path::new(command.get_program()).display().to_string();
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

/// The file that a bare command name starts, or nothing when it is not installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
