//! grpc-java, from Maven.

use std::process::Command;

use super::Side;
use crate::programs::{java, maven, workload};

/// One of its programs, without its arguments.
pub(super) fn command(side: Side) -> anyhow::Result<Command> {
    let class = match side {
        Side::Server => "TourServer",
        Side::Client => "TourClient",
    };
    let jars = format!("{}/*", maven::jars("grpc-java", &workload("grpc/java"))?.display());
    let sources = ["Tour.java", "TourServer.java", "TourClient.java"];
    let classes = java::compile("grpc/java", &sources, &jars)?;
    java::run(format!("{}:{jars}", classes.display()), class)
}
