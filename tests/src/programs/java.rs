//! Java programs of the JDK alone, compiled into the cache.

use std::path::PathBuf;
use std::process::Command;

use super::{Server, cache, fingerprint, installed, workload};
use crate::listening::free_port;
use crate::process;

/// The tour's server.
///
/// # Errors
/// When Java is missing, or it does not come up.
pub fn tour_server(service: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    let mut command = program("TourServer")?;
    Server::on_port(service, port, command.args(["127.0.0.1", &port.to_string()]))
}

/// The tour's client, without its arguments.
///
/// # Errors
/// When Java is missing.
pub fn tour_client() -> anyhow::Result<Command> {
    program("TourClient")
}

/// The folder of the compiled classes, made if it is not there yet.
///
/// # Errors
/// When the JDK is missing, or they do not compile.
pub fn classes() -> anyhow::Result<PathBuf> {
    let javac = installed("javac")?;
    let sources = ["TourServer.java", "TourClient.java"].map(|file| workload("java").join(file));
    let built = cache("workloads")?.join(format!("java-{}", fingerprint(&sources)?));
    if !built.exists() {
        let part = built.with_extension("part");
        process::output(Command::new(javac).arg("-d").arg(&part).args(sources))?;
        std::fs::rename(part, &built)?;
    }
    Ok(built)
}

fn program(class: &str) -> anyhow::Result<Command> {
    let classes = classes()?;
    let mut command = Command::new(installed("java")?);
    // Start quickly and stay small: these programs live for seconds.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp"]);
    command.arg(classes).arg(class);
    Ok(command)
}
