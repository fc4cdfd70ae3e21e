//! Go programs of the standard library, built into the cache.

use std::path::PathBuf;
use std::process::Command;

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
    let go = installed("go")?;
    let source = workload("go");
    let files = [source.join("go.mod"), source.join(name).join("main.go")];
    let built = cache("workloads")?.join(format!("{name}-{}", fingerprint(&files)?));
    if !built.exists() {
        let part = built.with_extension("part");
        process::output(
            Command::new(go)
                .current_dir(&source)
                .env("GOFLAGS", "-mod=mod")
                .args(["build", "-trimpath", "-o"])
                .arg(&part)
                .arg(format!("./{name}")),
        )?;
        std::fs::rename(part, &built)?;
    }
    Ok(built)
}
