//! One small exchange of the agent with itself over loopback, to see whether hooks fire.
#![forbid(unsafe_code)]

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

/// Sends a byte through a TCP connection of our own and reads it at the other end.
///
/// # Errors
///
/// When loopback cannot be used.
pub fn one_exchange() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    far.set_read_timeout(Some(Duration::from_secs(5)))?;
    near.write_all(b"?")?;
    let mut byte = [0];
    far.read_exact(&mut byte)
}
