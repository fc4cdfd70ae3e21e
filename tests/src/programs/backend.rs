//! A backend that can be killed and started again where it was.

use std::process::Command;

use super::Server;
use crate::listening::wait_port;
use crate::peer::Target;

/// How a backend is started, each time anew.
type Start = Box<dyn Fn() -> Command>;

/// One backend, running or killed.
pub struct Backend {
    name: &'static str,
    start: Start,
    /// The ports it listens on. The first is its API's.
    ports: Vec<u16>,
    running: Option<Server>,
}

impl Backend {
    /// Starts it, and waits until it listens on all its ports.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(
        name: &'static str,
        ports: Vec<u16>,
        start: impl Fn() -> Command + 'static,
    ) -> anyhow::Result<Self> {
        let mut backend = Self { name, start: Box::new(start), ports, running: None };
        backend.restart()?;
        Ok(backend)
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Starts it again, killing it first if it runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let mut ports = self.ports.iter().copied();
        let first = ports.next().unwrap_or_default();
        let mut server = Server::on_port(self.name, first, &mut (self.start)())?;
        ports.try_for_each(|port| wait_port(&mut server.program, port))?;
        self.running = Some(server);
        Ok(())
    }

    /// Where its API is.
    #[must_use]
    pub fn api(&self) -> Target {
        Target::port(self.ports.first().copied().unwrap_or_default())
    }
}
