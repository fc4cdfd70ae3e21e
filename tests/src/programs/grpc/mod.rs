//! gRPC's servers and clients, each on another implementation: what the tour ([`crate::grpc_tour`]) is taken with.
//!
//! All take and print the same, so that a test can be written once for all of them.

mod go;
mod java;
mod node;
mod python;
mod tonic;

use std::process::Command;

use super::Server;
use crate::listening::free_port;

/// An implementation of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// grpcio with a pool of threads.
    Python,
    /// grpcio on asyncio.
    Asyncio,
    /// grpc-go.
    Go,
    /// grpc-java on Netty.
    Java,
    /// `@grpc/grpc-js` on Node's own HTTP/2.
    Node,
    /// tonic on h2 (Rust).
    Tonic,
}

impl Runtime {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Python, Self::Asyncio, Self::Go, Self::Java, Self::Node, Self::Tonic];

    /// Its name, in names of tests and services.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Asyncio => "asyncio",
            Self::Go => "go",
            Self::Java => "java",
            Self::Node => "node",
            Self::Tonic => "tonic",
        }
    }

    /// Downloads and builds what is not there yet.
    ///
    /// # Errors
    /// When its language is missing, or something is not to be had.
    pub fn prepare(self) -> anyhow::Result<()> {
        self.command(Side::Server)?;
        self.command(Side::Client)?;
        Ok(())
    }

    fn command(self, side: Side) -> anyhow::Result<Command> {
        match self {
            Self::Python => python::command(side, false),
            Self::Asyncio => python::command(side, true),
            Self::Go => go::command(side),
            Self::Java => java::command(side),
            Self::Node => node::command(side),
            Self::Tonic => tonic::command(side),
        }
    }
}

/// Which of the two programs of a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

/// The tour's server on a free port, as the service of that name.
///
/// # Errors
/// A skip when it cannot be had here; or it does not come up.
pub fn server(runtime: Runtime, service: &str) -> anyhow::Result<Server> {
    let mut command = runtime.command(Side::Server)?;
    let port = free_port()?;
    Server::on_port(service, port, command.arg(format!("127.0.0.1:{port}")))
}

/// The tour's client, without its arguments: `HOST:PORT tour [TRACEPARENT]` or `HOST:PORT load CALLS AT_A_TIME`.
///
/// # Errors
/// A skip when it cannot be had here.
pub fn client(runtime: Runtime) -> anyhow::Result<Command> {
    runtime.command(Side::Client)
}
