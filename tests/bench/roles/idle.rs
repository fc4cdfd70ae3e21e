//! Thousands of connections that have said something once and are idle since. Both ends are in this process.
//!
//! Orders: `open COUNT` makes them, with one exchange on each; `close` ends them. Answers: ns for each connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::wait;

const REQUEST: &[u8] = b"GET /idle HTTP/1.1\r\nHost: idle\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nidle\n";

pub(crate) fn play() -> anyhow::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut open = Vec::new();
    super::obey(|order| {
        let began = wait::now();
        let count = match order {
            ["open", count] => {
                let count = count.parse()?;
                for _ in 0..count {
                    open.push(connection(&listener)?);
                }
                count
            }
            ["close"] => {
                let count = open.len();
                open.clear();
                count
            }
            _ => anyhow::bail!("unknown order {order:?}"),
        };
        Ok(vec![began.elapsed().as_nanos() as f64 / count.max(1) as f64])
    })
}

fn connection(listener: &TcpListener) -> anyhow::Result<(TcpStream, TcpStream)> {
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    let mut buffer = [0; 256];
    client.write_all(REQUEST)?;
    ensure!(server.read(&mut buffer)? == REQUEST.len(), "the request came in pieces");
    server.write_all(ANSWER)?;
    ensure!(client.read(&mut buffer)? == ANSWER.len(), "the answer came in pieces");
    Ok((client, server))
}
