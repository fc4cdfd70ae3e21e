//! The kinds of calls: each knows how to make a block of them.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use anyhow::ensure;
use tests::wait;

use super::super::yardstick::Yardstick;
use super::BLOCK;

/// Bytes of each call that moves any.
const BYTES: usize = 256;

/// Exchanges on a connection before it is measured: after so many that are no HTTP, the agent has made up its mind.
const WARM_UP: usize = 40;

/// One kind of call.
pub(super) enum Kind {
    /// Both ends of TCP connections on loopback.
    Tcp(Box<Tcp>),
    GetPpid,
    /// A file in memory.
    File(File),
    /// `/dev/null`: a descriptor that is no socket, and next to nothing else.
    Null(File),
    Pipe(PipeReader, PipeWriter),
    /// The sender and the receiver.
    Udp(UdpSocket, UdpSocket),
}

/// What a block took: writing (or the only call there is), and reading.
pub(super) struct Took {
    pub(super) write: Calls,
    pub(super) read: Option<Calls>,
}

/// Calls in a row, ns a call.
#[derive(Clone, Copy)]
pub(super) struct Calls {
    /// The first of them.
    pub(super) first: f64,
    /// Those behind it.
    pub(super) others: f64,
    /// The yardstick right before and behind them: the slower one.
    pub(super) beside: Duration,
}

impl Kind {
    pub(super) fn new(name: &str) -> anyhow::Result<Self> {
        Ok(match name {
            "traced" => Self::Tcp(Box::new(Tcp::new(&request(), &answer())?)),
            "ignored" => {
                let mut tcp = Tcp::new(&[0xa5; BYTES], &[0x5a; BYTES])?;
                tcp.warm_up = WARM_UP;
                let mut yardstick = Yardstick::new(Duration::ZERO);
                for _ in 0..WARM_UP {
                    tcp.block(&mut yardstick, &mut || {})?;
                }
                Self::Tcp(Box::new(tcp))
            }
            "getppid" => Self::GetPpid,
            "file" => {
                let file = rustix::fs::memfd_create("bench", rustix::fs::MemfdFlags::CLOEXEC)?;
                Self::File(file.into())
            }
            "null" => Self::Null(File::options().write(true).open("/dev/null")?),
            "pipe" => {
                let (reader, writer) = std::io::pipe()?;
                Self::Pipe(reader, writer)
            }
            "udp" => {
                let (sender, receiver) =
                    (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
                sender.connect(receiver.local_addr()?)?;
                Self::Udp(sender, receiver)
            }
            _ => anyhow::bail!("there is no kind of call {name}"),
        })
    }

    /// Calls that a block makes.
    pub(super) const fn calls(&self) -> usize {
        match self {
            Self::Tcp(_) => 4 * BLOCK,
            Self::GetPpid | Self::Null(_) => BLOCK,
            Self::File(_) | Self::Pipe(..) | Self::Udp(..) => 2 * BLOCK,
        }
    }

    /// Blocks of it that were made before the first that counts.
    pub(super) fn blocks_before(&self) -> usize {
        if let Self::Tcp(tcp) = self { tcp.warm_up } else { 0 }
    }

    /// Makes a block of calls, each after `first`.
    pub(super) fn block(
        &mut self,
        beside: &mut Yardstick,
        first: &mut impl FnMut(),
    ) -> anyhow::Result<Took> {
        let (out, mut into) = ([0x20; BYTES], [0; BYTES]);
        match self {
            Self::Tcp(tcp) => tcp.block(beside, first),
            Self::GetPpid => one(timed(beside, first, |_| {
                std::hint::black_box(rustix::process::getppid());
                Ok(())
            })?),
            Self::Null(file) => one(timed(beside, first, |_| Ok(file.write_all(&out)?))?),
            Self::File(file) => {
                let at = |call: usize| (call * BYTES) as u64;
                two(
                    timed(beside, first, |call| Ok(file.write_all_at(&out, at(call))?))?,
                    timed(beside, first, |call| Ok(file.read_exact_at(&mut into, at(call))?))?,
                )
            }
            Self::Pipe(reader, writer) => two(
                timed(beside, first, |_| Ok(writer.write_all(&out)?))?,
                timed(beside, first, |_| Ok(reader.read_exact(&mut into)?))?,
            ),
            Self::Udp(sender, receiver) => two(
                timed(beside, first, |_| whole(sender.send(&out)?))?,
                timed(beside, first, |_| whole(receiver.recv(&mut into)?))?,
            ),
        }
    }
}

/// As many connections as a block has calls, so that no call of a block waits for another.
pub(super) struct Tcp {
    pairs: Vec<(TcpStream, TcpStream)>,
    request: [u8; BYTES],
    answer: [u8; BYTES],
    warm_up: usize,
}

impl Tcp {
    fn new(request: &[u8; BYTES], answer: &[u8; BYTES]) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let pair = |_| -> anyhow::Result<_> {
            let client = TcpStream::connect(listener.local_addr()?)?;
            let (server, _) = listener.accept()?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            Ok((client, server))
        };
        let pairs = (0..BLOCK).map(pair).collect::<Result<_, _>>()?;
        Ok(Self { pairs, request: *request, answer: *answer, warm_up: 0 })
    }

    /// A request and its answer on each connection.
    fn block(&mut self, beside: &mut Yardstick, first: &mut impl FnMut()) -> anyhow::Result<Took> {
        let mut into = [0; BYTES];
        let Self { pairs, request, answer, .. } = self;
        let asked = timed(beside, first, |at| whole(pairs[at].0.write(request)?))?;
        let heard = timed(beside, first, |at| whole(pairs[at].1.read(&mut into)?))?;
        let answered = timed(beside, first, |at| whole(pairs[at].1.write(answer)?))?;
        let got = timed(beside, first, |at| whole(pairs[at].0.read(&mut into)?))?;
        // The first ones are those behind the pause: the server's calls come when the client's have just been made.
        let both = |one: Calls, other: Calls| Calls {
            first: one.first,
            others: f64::midpoint(one.others, other.others),
            beside: one.beside.max(other.beside),
        };
        two(both(asked, answered), both(heard, got))
    }
}

/// A request of exactly that many bytes.
fn request() -> [u8; BYTES] {
    filled("GET /bench HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: calls\r\nX-Fill: ")
}

/// An answer of exactly that many bytes.
fn answer() -> [u8; BYTES] {
    filled("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: text/plain\r\nX-Fill: ")
}

fn filled(head: &str) -> [u8; BYTES] {
    let mut bytes = [b'x'; BYTES];
    bytes[..head.len()].copy_from_slice(head.as_bytes());
    bytes[BYTES - 4..].copy_from_slice(b"\r\n\r\n");
    bytes
}

#[inline(always)]
fn timed(
    yardstick: &mut Yardstick,
    first: &mut impl FnMut(),
    mut call: impl FnMut(usize) -> anyhow::Result<()>,
) -> anyhow::Result<Calls> {
    let mut one = |number| {
        first();
        call(number)
    };
    let before = yardstick.take();
    let began = wait::now();
    one(0)?;
    let then = wait::now();
    for number in 1..BLOCK {
        one(number)?;
    }
    let others = then.elapsed().as_nanos() as f64 / (BLOCK - 1) as f64;
    let beside = before.max(yardstick.take());
    Ok(Calls { first: then.duration_since(began).as_nanos() as f64, others, beside })
}

fn whole(moved: usize) -> anyhow::Result<()> {
    ensure!(moved == BYTES, "a call moved {moved} bytes");
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "the last step of functions that can fail")]
fn one(write: Calls) -> anyhow::Result<Took> {
    Ok(Took { write, read: None })
}

#[allow(clippy::unnecessary_wraps, reason = "the last step of functions that can fail")]
fn two(write: Calls, read: Calls) -> anyhow::Result<Took> {
    Ok(Took { write, read: Some(read) })
}
