//! A Go program that serves gRPC and HTTP with many goroutines and calls both, built with new and with old versions of grpc-go.

use std::process::Command;

use super::Server;
use super::go::{self, How};
use crate::listening::free_port;
use crate::process;

/// How it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// A release of Go such as `1.21.13`; the installed one if `None`.
    pub go: Option<&'static str>,
    /// With grpc-go 1.50 (`old.mod`) rather than with that of `go.mod`.
    pub old: bool,
    /// Without symbols and debugging information.
    pub stripped: bool,
}

impl Build {
    /// By the installed Go, with a new grpc-go.
    pub const PLAIN: Self = Self { go: None, old: false, stripped: false };

    /// As a test's name has it.
    #[must_use]
    pub fn name(self) -> String {
        let (old, stripped) = (if self.old { ", grpc-go 1.50" } else { "" }, self.stripped);
        format!("go {}{old}{}", self.go.unwrap_or("here"), if stripped { ", stripped" } else { "" })
    }

    /// The program, without its arguments.
    ///
    /// # Errors
    /// When Go or a module is not to be had, or it does not build.
    pub fn command(self) -> anyhow::Result<Command> {
        let how = How {
            release: self.go,
            module_file: self.old.then_some("old"),
            stripped: self.stripped,
            pie: false,
        };
        let sums = if self.old { "old.sum" } else { "go.sum" };
        let shared = [sums, "tour/tour.go"];
        Ok(Command::new(go::build_with(how, "grpc/go", "requests", &shared)?))
    }

    /// It serves both protocols and calls `called`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn server(self, service: &str, called: &Both) -> anyhow::Result<Both> {
        Both::start(service, self.command()?.arg("serve"), Some(called))
    }

    /// What is called by both protocols: answers after a while.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn called(self, service: &str) -> anyhow::Result<Both> {
        Both::start(service, self.command()?.arg("called"), None)
    }
}

/// A server of both protocols.
pub struct Both {
    /// The program, which is up when it listens for HTTP.
    pub server: Server,
    grpc: u16,
}

impl Both {
    fn start(service: &str, command: &mut Command, calls: Option<&Self>) -> anyhow::Result<Self> {
        let (http, grpc) = (free_port()?, free_port()?);
        for port in [grpc, http] {
            command.arg(format!("127.0.0.1:{port}"));
        }
        if let Some(other) = calls {
            command.arg(format!("127.0.0.1:{}", other.grpc));
            command.arg(format!("127.0.0.1:{}", other.server.port()));
        }
        // It listens for gRPC first.
        Ok(Self { server: Server::on_port(service, http, command)?, grpc })
    }

    /// Sends so many requests, so many at once, each once, the first with that number. A way's name begins with the protocol.
    ///
    /// # Errors
    /// When one fails.
    pub fn load(
        &self,
        way: &str,
        concurrency: usize,
        count: usize,
        first: usize,
    ) -> anyhow::Result<()> {
        let (protocol, port) = if way.starts_with("grpc-") {
            ("grpc", self.grpc)
        } else {
            ("http", self.server.port())
        };
        let mut command = Build::PLAIN.command()?;
        command.args(["load", protocol, &format!("127.0.0.1:{port}"), way]);
        command.args([concurrency, count, first].map(|number| number.to_string()));
        let told = process::output(&mut command)?;
        anyhow::ensure!(told == b"failed 0\n", "{way}: {}", String::from_utf8_lossy(&told));
        Ok(())
    }
}
