//! A Go program that serves requests with many goroutines, built by whichever Go is asked for, plain or stripped.

use std::process::Command;

use super::Server;
use super::go::{self, How};
use crate::listening::free_port;
use crate::process;

/// How it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build(pub How);

impl Build {
    /// By the installed Go, as it comes.
    pub const PLAIN: Self =
        Self(How { release: None, module_file: None, stripped: false, pie: false });

    /// As a test's name has it.
    #[must_use]
    pub fn name(self) -> String {
        let How { release, .. } = self.0;
        let rest = How { release: None, ..self.0 };
        format!("go {}{}", release.unwrap_or("here"), rest.words(", "))
    }

    /// The program, without its arguments.
    ///
    /// # Errors
    /// When Go is not to be had, or it does not build.
    pub fn command(self) -> anyhow::Result<Command> {
        Ok(Command::new(go::build_with(self.0, "goroutines", "requests", &["go.sum"])?))
    }

    /// It serves, and calls what listens at `downstream`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn server(self, service: &str, downstream: u16) -> anyhow::Result<Server> {
        let port = free_port()?;
        let (own, other) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{downstream}"));
        Server::on_port(service, port, self.command()?.args(["serve", &own, &other]))
    }
}

/// What is called: answers after a while.
///
/// # Errors
/// When it does not come up.
pub fn downstream(service: &str) -> anyhow::Result<Server> {
    let port = free_port()?;
    let own = format!("127.0.0.1:{port}");
    Server::on_port(service, port, Build::PLAIN.command()?.args(["downstream", &own]))
}

/// Requests to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Which way they are served.
    pub way: &'a str,
    /// How many at once.
    pub concurrency: usize,
    /// How many in all.
    pub count: usize,
    /// The first one's number.
    pub first: usize,
}

impl Load<'_> {
    /// What sends them all to that address, and says how many failed.
    ///
    /// # Errors
    /// See [`Build::command`].
    pub fn command(&self, address: &str) -> anyhow::Result<Command> {
        let mut command = Build::PLAIN.command()?;
        command.args(["load", address, self.way]);
        command.args([self.concurrency, self.count, self.first].map(|number| number.to_string()));
        Ok(command)
    }

    /// Sends them all, each once.
    ///
    /// # Errors
    /// When one fails.
    pub fn send(&self, to: &Server) -> anyhow::Result<()> {
        let told = process::output(&mut self.command(&format!("127.0.0.1:{}", to.port()))?)?;
        anyhow::ensure!(told == b"failed 0\n", "{self:?}: {}", String::from_utf8_lossy(&told));
        Ok(())
    }
}
