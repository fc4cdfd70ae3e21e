//! Manual pages and shell completions, made from the command line's own definition: they cannot say anything else.
#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::cli::Cli;

/// Writes a page for the program and one for each command.
///
/// # Errors
///
/// When the folder cannot be written.
pub fn man(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("{} cannot be written", folder.display()))
}

/// Prints what a shell needs to complete our commands and options.
pub fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "spanwire", &mut std::io::stdout());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn each_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        man(folder.path()).unwrap();
        for command in ["run", "ps", "doctor", "config", "stop", "detach", "record", "replay"] {
            let page = folder.path().join(format!("spanwire-{command}.1"));
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(text.contains(".SH SYNOPSIS"), "{}", page.display());
        }
    }
}
