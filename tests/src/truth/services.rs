//! The runtimes that a service of the graph can be of. All of them do the same, told by the same command line.
//!
//! `PROGRAM SERVICE PORT [NEXT…]` listens on 127.0.0.1:PORT. `GET /call/ID` asks each NEXT (a port) in order for `/call/ID.0`,
//! `/call/ID.1`, … and answers `ok` if all of them did; any other path is answered at once. Connections to a NEXT are kept in a
//! pool of the whole process. Let h be the sum of the bytes of ID, modulo 8: at 1 it rests for 2 ms before its calls, at 3 for
//! 1 ms after each, at 0 another thread or task asks the first NEXT for `/later/ID` and nobody waits for that, at 4 whoever
//! served asks it for `/after/ID` once the answer is out (where the server lets it). Every 20 ms a timer asks the first NEXT
//! for `/timer/SERVICE.N`.

use std::process::Command;

use crate::listening::free_port;
use crate::programs::{Server, installed, python, workload};

/// What a runtime is told to be.
pub struct Place<'a> {
    /// The service's name.
    pub service: &'a str,
    /// Ports of the services it asks, one for each call.
    pub next: &'a [u16],
}

/// A runtime.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// What it is called on the command line and in names of services.
    pub name: &'static str,
    /// It passes requests on and makes none: see [`super::graph::Service::proxies`].
    pub proxies: bool,
    /// Starts a service.
    start: fn(&Place<'_>) -> anyhow::Result<Server>,
}

impl Runtime {
    /// Starts a service of this runtime and waits until it listens.
    ///
    /// # Errors
    /// When a program is missing (a skip), or does not come up.
    pub fn start(&self, place: &Place<'_>) -> anyhow::Result<Server> {
        (self.start)(place)
    }
}

/// Python's `ThreadingHTTPServer`: a thread for each connection.
pub const PYTHON_THREADS: Runtime = Runtime {
    name: "python-threads",
    proxies: false,
    start: |place| told(place, python("threads.py")?),
};

/// The same, but each call is made by a `ThreadPoolExecutor`, whose result the serving thread waits for.
pub const PYTHON_POOL: Runtime =
    Runtime { name: "python-pool", proxies: false, start: |place| told(place, python("pool.py")?) };

/// Streams of asyncio: all requests in one thread.
pub const PYTHON_ASYNCIO: Runtime = Runtime {
    name: "python-asyncio",
    proxies: false,
    start: |place| told(place, python("loop.py")?),
};

/// Node's `http`.
pub const NODE: Runtime = Runtime {
    name: "node",
    proxies: false,
    start: |place| told(place, script("node", "truth/node/service.mjs")?),
};

fn python(file: &str) -> anyhow::Result<Command> {
    let mut command = python::command()?;
    command.arg(workload("truth/python").join(file));
    Ok(command)
}

/// A program that an interpreter runs.
fn script(interpreter: &str, file: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(installed(interpreter)?);
    command.arg(workload(file));
    Ok(command)
}

/// A program that only needs to be told.
fn told(place: &Place<'_>, mut command: Command) -> anyhow::Result<Server> {
    let port = free_port()?;
    command.args([place.service, &port.to_string()]);
    command.args(place.next.iter().map(u16::to_string));
    Server::on_port(place.service, port, &mut command)
}
