//! Java programs, compiled into the cache: those of the JDK alone, and whatever others there are.

use std::ffi::OsStr;
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
    compile("java", &["TourServer.java", "TourClient.java"], "")
}

/// The folder of the classes of sources below `workloads`, made if it is not there yet. What they stand on is at
/// `classpath`.
///
/// # Errors
/// When the JDK is missing, or they do not compile.
pub fn compile(folder: &str, sources: &[&str], classpath: &str) -> anyhow::Result<PathBuf> {
    let javac = installed("javac")?;
    let sources: Vec<PathBuf> = sources.iter().map(|file| workload(folder).join(file)).collect();
    let name = format!("{}-{}", folder.replace('/', "-"), fingerprint(&sources)?);
    let built = cache("workloads")?.join(name);
    if !built.exists() {
        let part = built.with_extension("part");
        let mut javac = Command::new(javac);
        javac.args(["-encoding", "UTF-8", "-classpath", classpath, "-d"]).arg(&part).args(sources);
        process::output(&mut javac)?;
        std::fs::rename(part, &built)?;
    }
    Ok(built)
}

/// A class's program, without its arguments.
///
/// # Errors
/// When Java is missing.
pub fn run(classpath: impl AsRef<OsStr>, class: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(installed("java")?);
    // Start quickly and stay small: these programs live for seconds.
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp"]);
    command.arg(classpath).arg(class);
    Ok(command)
}

fn program(class: &str) -> anyhow::Result<Command> {
    run(classes()?, class)
}
