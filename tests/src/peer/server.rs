//! A scripted server: it does to each connection what the test says, one step after the other.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// One step on an accepted connection.
#[derive(Clone, Debug)]
pub enum Script {
    /// Read until so many blank lines (ends of heads) have come.
    Heads(usize),
    /// Send these bytes in one call.
    Send(Vec<u8>),
    /// Wait until the client has closed, reading and dropping what comes.
    Drain,
    /// Close with RST.
    Reset,
}

impl Script {
    /// Send this text in one call.
    #[must_use]
    pub fn say(text: &str) -> Self {
        Self::Send(text.as_bytes().to_vec())
    }
}

/// Listens on a port of its own until the test ends, and plays the script on every connection, one at a time; then
/// closes it.
pub struct Scripted {
    port: u16,
}

impl Scripted {
    /// Begins.
    ///
    /// # Errors
    /// When no port is to be had.
    pub fn start(script: Vec<Script>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away in the middle is part of some tests.
                let _ = play(stream, &script);
            }
        });
        Ok(Self { port })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn play(mut stream: TcpStream, script: &[Script]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut seen = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    for step in script {
        match step {
            Script::Heads(count) => {
                while seen.windows(4).filter(|window| window == b"\r\n\r\n").count() < *count {
                    match stream.read(&mut buffer)? {
                        0 => return Ok(()),
                        read => seen.extend_from_slice(&buffer[..read]),
                    }
                }
                seen.clear();
            }
            Script::Send(bytes) => stream.write_all(bytes)?,
            Script::Drain => while stream.read(&mut buffer)? > 0 {},
            Script::Reset => {
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
                return Ok(());
            }
        }
    }
    Ok(())
}
