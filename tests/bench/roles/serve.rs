//! A small HTTP/1.1 server, a thread for each connection: one of the many services of a host.
//!
//! It says its port as its first line, and serves until its input ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: text/plain\r\n\r\nhello\n";

pub(crate) fn play() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    super::say(&[f64::from(listener.local_addr()?.port())])?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client may go away at any time.
            std::thread::spawn(move || serve(stream));
        }
    });
    super::obey(|order| anyhow::bail!("unknown order {order:?}"))
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    let mut have = 0;
    loop {
        let count = stream.read(&mut buffer[have..])?;
        if count == 0 {
            return Ok(());
        }
        have += count;
        if buffer[..have].ends_with(b"\r\n\r\n") {
            stream.write_all(ANSWER)?;
            have = 0;
        }
    }
}
