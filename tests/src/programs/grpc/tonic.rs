//! tonic: a binary of this crate, which Cargo builds with the tests.

use std::process::Command;

use anyhow::Context as _;

use super::Side;
use crate::outcome::missing;

/// Its name in `Cargo.toml`.
const BINARY: &str = "grpc-tonic";

/// One of its programs, without its arguments.
pub(super) fn command(side: Side) -> anyhow::Result<Command> {
    // Tests are in a folder beside it, `target/PROFILE/deps`.
    let tests = std::env::current_exe()?;
    let folder = tests.parent().and_then(|deps| deps.parent()).context("no target folder")?;
    let binary = folder.join(BINARY);
    if !binary.is_file() {
        return Err(missing(
            BINARY,
            format_args!("Cargo has not built it in {}", folder.display()),
        ));
    }
    let mut command = Command::new(binary);
    command.arg(match side {
        Side::Server => "server",
        Side::Client => "client",
    });
    Ok(command)
}
