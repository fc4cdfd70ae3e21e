//! The real programs that tests trace: found or built once, started on free ports, and known to be ready.
//!
//! Whatever has to be built or downloaded goes to the cache folder, never into the tree.

pub mod apache;
pub mod backend;
pub mod c;
pub mod collector;
pub mod databases;
pub mod go;
pub mod goroutines;
pub mod grpc;
pub mod grpc_goroutines;
pub mod gunicorn;
pub mod haproxy;
pub mod http2;
pub mod jaeger;
pub mod java;
pub mod maven;
pub mod nghttpx;
pub mod nginx;
pub mod node;
pub mod npm;
pub mod opentelemetry;
pub mod perl;
pub mod php;
pub mod pypi;
pub mod python;
pub mod ruby;
pub mod socket_calls;
pub mod tomcat;
pub mod verifier;
pub mod zipkin;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::hex::hex;
use crate::listening::{wait_port, wait_unix};
use crate::outcome::missing;
use crate::peer::Target;
use crate::process::{self, Program};
use crate::truth;
use grpc::Runtime;

/// A server that accepts connections.
pub struct Server {
    /// The running program.
    pub program: Program,
    /// Where it listens.
    pub target: Target,
    /// The `service.name` its spans must have.
    pub service: String,
}

impl Server {
    /// Starts a server that listens on a TCP port, as the service of that name, and waits until it does.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn on_port(service: &str, port: u16, command: &mut Command) -> anyhow::Result<Self> {
        let mut program = Program::start(service, command.env("OTEL_SERVICE_NAME", service))?;
        wait_port(&mut program, port)?;
        Ok(Self { program, target: Target::port(port), service: service.to_owned() })
    }

    /// Starts a server that listens on a unix socket, as the service of that name, and waits until it does.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn on_unix(service: &str, path: &Path, command: &mut Command) -> anyhow::Result<Self> {
        let mut program = Program::start(service, command.env("OTEL_SERVICE_NAME", service))?;
        wait_unix(&mut program, path)?;
        Ok(Self { program, target: Target::Unix(path.to_owned()), service: service.to_owned() })
    }

    /// Its port; 0 on a unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        match &self.target {
            Target::Tcp(address) => address.port(),
            Target::Unix(_) => 0,
        }
    }
}

/// A file below `workloads/`.
#[must_use]
pub fn workload(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads").join(name)
}

/// A folder of that name in the cache: `$XDG_CACHE_HOME/spanwire/NAME`.
///
/// # Errors
/// When there is no home folder, or it cannot be made.
pub fn cache(name: &str) -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").context("no HOME")?).join(".cache"),
    };
    let folder = base.join("spanwire").join(name);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// The program's path.
///
/// # Errors
/// A skip that says which package brings it.
pub fn installed(program: &str) -> anyhow::Result<PathBuf> {
    process::find(program).ok_or_else(|| missing(program, "see tests/system-packages.txt"))
}

/// Prepares everything that has to be downloaded or built, so that no test's time limit pays for it. What is missing
/// is left to the test that needs it.
pub fn prepare() {
    type Step = fn() -> anyhow::Result<()>;
    let steps: [(&str, Step); 19] = [
        ("the random socket calls (C)", || socket_calls::binary().map(drop)),
        ("a witness of the verifier (C)", || verifier::preload().map(drop)),
        ("Go programs", || {
            go::binary("tourserver").and_then(|_| go::binary("tourclient")).map(drop)
        }),
        ("goroutines", || goroutines::Build::PLAIN.command().map(drop)),
        ("goroutines of gRPC", || grpc_goroutines::Build::PLAIN.command().map(drop)),
        ("Java programs", || java::classes().map(drop)),
        ("gunicorn and Flask", || gunicorn::environment().map(drop)),
        ("Tomcat", || tomcat::classpath().map(drop)),
        ("packages from PyPI", || pypi::environment().map(drop)),
        ("OpenTelemetry's SDK", || opentelemetry::environment().map(drop)),
        ("packages from npm", || npm::packages("npm").map(drop)),
        ("services of the truth", truth::services::prepare),
        ("gRPC for Python", || Runtime::Python.prepare()),
        ("gRPC for Go", || Runtime::Go.prepare()),
        ("gRPC for Java", || Runtime::Java.prepare()),
        ("gRPC for Node", || Runtime::Node.prepare()),
        ("Zipkin", || zipkin::jar().map(drop)),
        ("the OpenTelemetry Collector (about 5 minutes, once)", || collector::binary().map(drop)),
        ("Jaeger (about 5 minutes, once)", || jaeger::binary().map(drop)),
    ];
    for (what, step) in steps {
        println!("preparing {what}");
        if let Err(error) = step() {
            println!("  not to be had: {error:#}");
        }
    }
}

/// A short name for the contents of files: what a cached build of them is kept under.
fn fingerprint(files: &[PathBuf]) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(file).with_context(|| file.display().to_string())?);
    }
    Ok(hex(&hash.finalize()[..6]))
}
