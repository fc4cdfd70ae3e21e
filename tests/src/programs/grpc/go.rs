//! grpc-go, pinned by checksum in `go.sum`.

use std::process::Command;

use super::Side;
use crate::programs::go;

/// One of its programs, without its arguments.
pub(super) fn command(side: Side) -> anyhow::Result<Command> {
    let name = match side {
        Side::Server => "server",
        Side::Client => "client",
    };
    Ok(Command::new(go::build("grpc/go", name, &["go.sum", "tour/tour.go"])?))
}
