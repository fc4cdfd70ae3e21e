//! A client that asks at a constant rate, whatever the server does.
//!
//! Every request has a moment at which it is due, and its latency counts from then, not from when it could be sent:
//! a server (or this client, woken late) that falls behind makes every request that waits for it slow, as it would be
//! for the users who sent them (no "coordinated omission"). It never leaves a due request out.
//!
//! Arguments: path, connections for each port, ports. Orders: `go MILLISECONDS RATE`, with `anew` behind where
//! its connections are to be new ones. Answers: requests answered,
//! median and 99th percentile of the latency in ns, the longest, ns of CPU it used itself.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tests::wait;

use crate::cpu;

/// How long answers may still come when the last request is due: on a busy machine the rate may not be to be had.
const PATIENCE: Duration = Duration::from_secs(30);

/// Behind an order: over new connections.
pub(crate) const ANEW: &str = "anew";

/// How late the kernel may wake us, ns: as soon as it can, instead of up to 50 µs.
const TIMER_SLACK: Option<NonZeroU64> = NonZeroU64::new(1);

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// When what it waits for was due.
    due: Option<Instant>,
    /// Bytes of the current answer so far.
    received: usize,
    /// Bytes of each answer; all are alike. 0 until the first has come.
    length: usize,
}

pub(crate) fn play(arguments: &[String]) -> anyhow::Result<()> {
    let [path, each, ports @ ..] = arguments else {
        anyhow::bail!("rate PATH CONNECTIONS PORT…")
    };
    rustix::thread::set_current_timer_slack(TIMER_SLACK)?;
    let (each, mut client) = (each.parse::<usize>()?, None);
    super::obey(|order| {
        let ["go", millis, rate, anew @ ..] = order else {
            anyhow::bail!("unknown order {order:?}")
        };
        if client.is_none() || anew.contains(&ANEW) {
            client = Some(Client::connect(path, each, ports)?);
        }
        let client = client.as_mut().context("it was just made")?;
        client.run(Duration::from_millis(millis.parse()?), rate.parse()?)
    })
}

struct Client {
    connections: Vec<Connection>,
    free: VecDeque<usize>,
    readable: OwnedFd,
}

impl Client {
    /// Opens all connections, each to the next port in turn.
    fn connect(path: &str, each: usize, ports: &[String]) -> anyhow::Result<Self> {
        let readable = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for port in std::iter::repeat_n(ports, each).flatten() {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
            let stream = connect(address).with_context(|| address.to_string())?;
            stream.set_nodelay(true)?;
            let index = epoll::EventData::new_u64(connections.len() as u64);
            epoll::add(&readable, &stream, index, epoll::EventFlags::IN)?;
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: rate\r\n\r\n");
            connections.push(Connection {
                stream,
                request: request.into_bytes(),
                due: None,
                received: 0,
                length: 0,
            });
        }
        let free = (0..connections.len()).collect();
        Ok(Self { connections, free, readable })
    }

    fn run(&mut self, time: Duration, rate: f64) -> anyhow::Result<Vec<f64>> {
        let requests = (time.as_secs_f64() * rate) as u64;
        let cpu_before = cpu::of_process(std::process::id())?;
        let began = wait::now();
        let due = |number: u64| began + Duration::from_secs_f64(number as f64 / rate);
        let mut latencies = Vec::with_capacity(usize::try_from(requests)?);
        let (mut sent, mut events) = (0, Vec::with_capacity(self.connections.len()));
        while (latencies.len() as u64) < requests {
            let now = wait::now();
            while sent < requests && due(sent) <= now {
                let Some(index) = self.free.pop_front() else { break };
                self.connections[index].send(due(sent))?;
                sent += 1;
            }
            let next = if sent < requests && !self.free.is_empty() {
                due(sent).saturating_duration_since(wait::now())
            } else {
                let end = due(requests) + PATIENCE;
                ensure!(end > now, "{} requests have no answer", requests - latencies.len() as u64);
                PATIENCE
            };
            self.wait(next, &mut events)?;
            for event in events.drain(..) {
                let index = usize::try_from(event)?;
                if let Some(due) = self.connections[index].receive()? {
                    latencies.push(wait::now().saturating_duration_since(due).as_nanos() as u64);
                    self.free.push_back(index);
                }
            }
        }
        let took = began.elapsed().as_nanos() as f64;
        let used = cpu::of_process(std::process::id())?.saturating_sub(cpu_before);
        latencies.sort_unstable();
        let at = |part: f64| {
            let last = latencies.len().saturating_sub(1);
            latencies.get((last as f64 * part) as usize).map_or(0.0, |nanos| *nanos as f64)
        };
        let answered = latencies.len() as f64;
        Ok(vec![answered, at(0.5), at(0.99), at(1.0), used.as_nanos() as f64, took])
    }

    /// Waits until an answer comes or the time is over. (`epoll_wait` itself counts in milliseconds.)
    fn wait(&self, at_most: Duration, events: &mut Vec<u64>) -> anyhow::Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(at_most.as_secs())?,
            tv_nsec: i64::from(at_most.subsec_nanos()),
        };
        poll(&mut [PollFd::new(&self.readable, PollFlags::IN)], Some(&timeout))?;
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut ready = Vec::<epoll::Event>::with_capacity(self.connections.len());
        epoll::wait(&self.readable, rustix::buffer::spare_capacity(&mut ready), Some(&at_once))?;
        events.extend(ready.iter().map(|event| event.data.u64()));
        Ok(())
    }
}

impl Connection {
    fn send(&mut self, due: Instant) -> anyhow::Result<()> {
        self.due = Some(due);
        self.received = 0;
        // A request is smaller than any send buffer, and the connection is idle.
        Ok(self.stream.write_all(&self.request)?)
    }

    /// Reads what has come; when the answer is complete, the moment its request was due.
    fn receive(&mut self) -> anyhow::Result<Option<Instant>> {
        let mut buffer = [0; 64 << 10];
        let count = match self.stream.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        ensure!(count > 0, "the server closed a connection");
        ensure!(self.due.is_some(), "an answer that nobody asked for");
        if self.received == 0 {
            ensure!(buffer.starts_with(b"HTTP/1.1 200"), "the server did not answer 200");
        }
        if self.length == 0 {
            self.length = answer_length(&buffer[..count])?;
        }
        self.received += count;
        Ok((self.received >= self.length).then(|| self.due.take()).flatten())
    }
}

/// Length of a whole answer, of which all of the head is here.
fn answer_length(bytes: &[u8]) -> anyhow::Result<usize> {
    let mut slots = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(head) = answer.parse(bytes)? else {
        anyhow::bail!("the answer's head came in pieces");
    };
    let length = answer.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = std::str::from_utf8(length.context("no content-length")?.value)?;
    Ok(head + length.parse::<usize>()?)
}

/// A connection that has never blocked, as those of event loops.
fn connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None)?;
    let stream = TcpStream::from(socket);
    match stream.take_error()? {
        None => Ok(stream),
        Some(error) => Err(error.into()),
    }
}
