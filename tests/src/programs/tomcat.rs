//! Tomcat in a program of its own, with the tour's servlet.

use super::{Server, java, maven, workload};
use crate::listening::free_port;

/// A running Tomcat and the folder it writes to.
pub struct Tomcat {
    /// The server.
    pub server: Server,
    /// Its files.
    pub folder: tempfile::TempDir,
}

/// Tomcat on a free port.
///
/// # Errors
/// When the JDK, Maven or a jar is missing, or it does not come up.
pub fn start(service: &str) -> anyhow::Result<Tomcat> {
    let port = free_port()?;
    let folder = tempfile::tempdir()?;
    let classpath = classpath()?;
    let mut command = java::run(classpath, "TourTomcat")?;
    command.args(["127.0.0.1", &port.to_string()]).arg(folder.path());
    Ok(Tomcat { server: Server::on_port(service, port, &mut command)?, folder })
}

/// What it runs on: fetched and compiled if it is not yet.
///
/// # Errors
/// When the JDK, Maven or a jar is missing.
pub fn classpath() -> anyhow::Result<String> {
    let jars = format!("{}/*", maven::jars("tomcat", &workload("tomcat"))?.display());
    let classes = java::compile("tomcat", &["TourTomcat.java"], &jars)?;
    Ok(format!("{}:{jars}", classes.display()))
}
