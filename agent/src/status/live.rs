//! The client of `doctor --live`, `top` and `trace`: asks the child of the agent that runs on this host.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Snapshot;
use super::agent_file::AgentFile;

/// Longest answer that is read: the longest trace is 20 MiB.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Why there are no live counters.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// There is no file.
    #[error("no spanwire runs on this host ({0} is not there)")]
    NotRunning(PathBuf),
    /// There is one, and its agent is gone.
    #[error("no spanwire runs on this host any more (pid {0} ended without cleaning up)")]
    Gone(u32),
    /// Only the agent's user may know.
    #[error("{0} is readable by root only: run this as root")]
    NotAllowed(PathBuf),
    /// The file or the answer is not what it should be.
    #[error("the running spanwire cannot be asked: {0}")]
    Asking(#[from] io::Error),
}

/// What the agent tells of itself, whose file is in `directory` (normally [`super::RUN_DIRECTORY`]).
///
/// # Errors
/// No agent runs, or it does not answer within a few seconds.
pub fn live(directory: &Path) -> Result<Snapshot, LiveError> {
    Ok(Snapshot {
        counters: read(directory, "/api/counters")?,
        open: read(directory, "/api/open")?,
    })
}

fn read<T: DeserializeOwned>(directory: &Path, path: &str) -> Result<T, LiveError> {
    match ask(directory, path)? {
        (200, body) => Ok(serde_json::from_slice(&body).map_err(io::Error::from)?),
        (status, _) => Err(io::Error::other(format!("it answered {status}")).into()),
    }
}

/// Asks for a path: the answer's status and body.
///
/// # Errors
/// As [`live`].
pub fn ask(directory: &Path, path: &str) -> Result<(u16, Vec<u8>), LiveError> {
    let file = AgentFile::read(directory).map_err(|error| {
        let path = AgentFile::path(directory);
        match error.kind() {
            io::ErrorKind::NotFound => LiveError::NotRunning(path),
            io::ErrorKind::PermissionDenied => LiveError::NotAllowed(path),
            _ => LiveError::Asking(error),
        }
    })?;
    if !file.is_alive() {
        return Err(LiveError::Gone(file.pid));
    }
    Ok(request(&file, path)?)
}

fn request(file: &AgentFile, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, file.port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    // 1.0: the body ends with the connection.
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {}\r\n\r\n",
        file.port, file.token
    )?;
    let mut answer = Vec::new();
    stream.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let no_http = || io::Error::other("it did not answer in HTTP");
    let length = match head.parse(&answer) {
        Ok(httparse::Status::Complete(length)) => length,
        _ => return Err(no_http()),
    };
    let status = head.code.ok_or_else(no_http)?;
    answer.drain(..length);
    Ok((status, answer))
}
