//! Whether this kernel puts headers into requests without harm: tried on loopback, at the start, where it is asked for.
//!
//! The agent's own connections are never touched, so a process of the same binary makes these ([`perform`]), named like any
//! other; its parent judges by what it says ([`run`]). What is found is one line. Must never reach beyond loopback.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

use crate::kernel::insert::Enrolment;

/// Name of the hidden command.
pub const COMMAND: &str = "insertion-trial";

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the large bodies, both ways.
const LARGE: usize = 2 << 20;
/// Bytes of the inserted line,
const LEN: usize = abi::insert::LEN;
/// and of the field.
const FIELD: usize = abi::insert::block::LEN;

/// What came of it.
#[derive(Debug)]
pub struct Tried {
    /// The process that tried it, which is one of our own.
    pub pid: u32,
    /// What else was noticed; or why it must stay off, one sentence.
    pub result: Result<String, String>,
}

/// Has it tried.
pub fn run(enrolment: &mut Enrolment) -> Tried {
    let mut pid = 0;
    let result = judged(enrolment, &mut pid);
    Tried { pid, result }
}

fn judged(enrolment: &mut Enrolment, pid: &mut u32) -> Result<String, String> {
    let could_not = |error: io::Error| format!("its trial cannot be run: {error}");
    let mut child = Command::new("/proc/self/exe")
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(could_not)?;
    *pid = child.id();
    enrolment.name(*pid);
    let said = (|| {
        // It begins when it is told that it is named.
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(b"\n")?;
        }
        let mut said = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        Ok(said)
    })();
    // It ends by itself when it has spoken; if it has not, it hangs.
    let _ = child.kill();
    let _ = child.wait();
    enrolment.forget(*pid);
    enrolment.release();
    let said = said.map_err(could_not)?;
    match said.trim_end().split_once(' ') {
        Some(("harmless", notes)) => Ok(notes.to_owned()),
        Some(("harmful", why)) => Err(format!("its trial failed: {why}")),
        _ => Err("its trial ended without a result".to_owned()),
    }
}

/// The trial itself: waits for a line on standard input, and says its result in one.
pub fn perform() -> String {
    let mut line = String::new();
    let _ = io::stdin().read_line(&mut line);
    // Whatever hangs is harm.
    thread::spawn(|| {
        thread::sleep(3 * PATIENCE);
        println!("harmful something waits for ever");
        std::process::exit(1);
    });
    match tried() {
        Ok(notes) => format!("harmless {notes}"),
        Err(error) => format!("harmful {error}"),
    }
}

fn tried() -> io::Result<String> {
    let server = Server::start()?;
    small(&server)?;
    large(&server)?;
    streams(&server)?;
    let fionread = fionread(&server)?;
    begins_to_block(&server)?;
    Ok(format!(
        "FIONREAD is {} for its sockets",
        if fionread { "right" } else { "wrong (programs that use it are refused)" }
    ))
}

/// Several requests on one connection: what the server reads is what was sent, but for one line in each.
fn small(server: &Server) -> io::Result<()> {
    let mut client = server.connect()?;
    for i in 0..20 {
        let request =
            format!("GET /small/{i} HTTP/1.1\r\nHost: trial\r\nX: {}\r\n\r\n", "y".repeat(i * 40));
        send(&mut client, request.as_bytes())?;
        check(&receive(&mut client)?, request.as_bytes())?;
    }
    Ok(())
}

/// A large request, answered with itself.
fn large(server: &Server) -> io::Result<()> {
    let mut client = server.connect()?;
    let mut request =
        format!("POST /large HTTP/1.1\r\nHost: trial\r\nContent-Length: {LARGE}\r\n\r\n")
            .into_bytes();
    request.extend((0..LARGE).map(|i| (i % 251) as u8));
    send(&mut client, &request)?;
    check(&receive(&mut client)?, &request)
}

/// Streams of HTTP/2 on one connection, in calls that are cut into frames in several ways: what the server reads is what was sent, but
/// for a field behind each block that opens a stream.
fn streams(server: &Server) -> io::Result<()> {
    let mut client = server.connect()?;
    let opens = |stream: u8, len: usize| frame(1, 4, stream, &vec![0x82; len]);
    let data = |stream: u8, len: usize| frame(0, 0, stream, &vec![b'='; len]);
    let trailers = |stream: u8| frame(1, 5, stream, &[0x82]);
    let calls: [Vec<Vec<u8>>; 7] = [
        vec![PREFACE.to_vec(), frame(4, 0, 0, &[])],
        vec![opens(1, 20)],
        vec![opens(3, 1), data(3, 1000), opens(5, 300), data(5, 9000)],
        vec![data(3, 5), trailers(3), opens(7, 40)],
        vec![data(5, 16_384), data(7, 10)],
        vec![opens(9, 8_000), opens(11, 70)],
        vec![trailers(5), frame(6, 0, 0, &[0; 8])],
    ];
    for call in calls {
        let sent = call.concat();
        send(&mut client, &sent)?;
        let opened = call.iter().filter(|frame| frame.get(3..5) == Some(&[1, 4])).count();
        let mut came = vec![0; sent.len() + opened * FIELD];
        receive_raw(&mut client, &mut came)?;
        check_frames(&came, &call)?;
    }
    Ok(())
}

/// What a client of HTTP/2 begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of that kind, with those flags, of that stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// What came are these frames, those that open a stream with a field more.
fn check_frames(mut came: &[u8], sent: &[Vec<u8>]) -> io::Result<()> {
    for frame in sent {
        let is_right = if frame.get(3..5) == Some(&[1, 4]) {
            let (own, field) = came.split_at(frame.len());
            let (field, rest) = field.split_at(FIELD);
            came = rest;
            let length = (frame.len() - 9 + FIELD) as u32;
            own[..3] == length.to_be_bytes()[1..]
                && own[3..] == frame[3..]
                && field.starts_with(b"\x00\x0btraceparent\x3700-")
        } else {
            let (own, rest) = came.split_at(frame.len());
            came = rest;
            own == frame
        };
        if !is_right {
            return Err(io::Error::other("other frames came than were sent"));
        }
    }
    Ok(())
}

/// Receives as many bytes.
fn receive_raw(client: &mut TcpStream, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match client.read(buffer) {
            Ok(0) => return Err(io::Error::other("a connection of HTTP/2 ended early")),
            Ok(n) => buffer = &mut buffer[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready(client, PollFlags::IN)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the number of bytes that can be read is right.
fn fionread(server: &Server) -> io::Result<bool> {
    let mut client = server.connect()?;
    let request = b"GET /fionread HTTP/1.1\r\nHost: trial\r\n\r\n";
    send(&mut client, request)?;
    ready(&client, PollFlags::IN)?;
    // All of the answer is one segment.
    let is_right = rustix::io::ioctl_fionread(&client)? > 0;
    check(&receive(&mut client)?, request)?;
    Ok(is_right)
}

/// A socket that begins to block is one like any other again: no read of it may end without anything.
fn begins_to_block(server: &Server) -> io::Result<()> {
    for _ in 0..5 {
        let mut client = server.connect()?;
        send(&mut client, b"GET /first HTTP/1.1\r\nHost: trial\r\n\r\n")?;
        receive(&mut client)?;
        client.set_nonblocking(false)?;
        let mut request =
            format!("POST /blocks HTTP/1.1\r\nHost: trial\r\nContent-Length: {LARGE}\r\n\r\n")
                .into_bytes();
        request.extend((0..LARGE).map(|i| (i % 241) as u8));
        client.write_all(&request)?;
        let mut answer = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        while !is_whole(&answer) {
            match client.read(&mut buffer) {
                Ok(0) => return Err(io::Error::other("an answer ended early")),
                Ok(n) => answer.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::other("a read that blocks returned without anything"));
                }
                Err(error) => return Err(error),
            }
        }
        if body(&answer)? != request {
            return Err(io::Error::other("a socket that blocks was given other bytes than sent"));
        }
    }
    Ok(())
}

/// What came is what was sent, with one line after its first.
fn check(came: &[u8], sent: &[u8]) -> io::Result<()> {
    if came == sent {
        return Err(io::Error::other(
            "nothing was inserted; another program may hold the sockets of this host in a sockmap",
        ));
    }
    let line = sent.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
    let is_right = came.len() == sent.len() + LEN
        && came[..line] == sent[..line]
        && came[line..].starts_with(b"traceparent: 00-")
        && came[line..line + LEN].ends_with(b"\r\n")
        && came[line + LEN..] == sent[line..];
    if is_right { Ok(()) } else { Err(io::Error::other("other bytes came than were sent")) }
}

/// Sends all, as programs do whose sockets do not block.
fn send(client: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match client.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready(client, PollFlags::OUT)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The body of an answer: what the server has read.
fn receive(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while !is_whole(&answer) {
        match client.read(&mut buffer) {
            Ok(0) => return Err(io::Error::other("an answer ended early")),
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready(client, PollFlags::IN)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(body(&answer)?.to_vec())
}

fn ready(client: &TcpStream, what: PollFlags) -> io::Result<()> {
    let timeout = rustix::time::Timespec { tv_sec: 10, tv_nsec: 0 };
    match poll(&mut [PollFd::new(client, what)], Some(&timeout))? {
        0 => Err(io::Error::other("a socket waits for ever")),
        _ => Ok(()),
    }
}

/// What an answer's body begins with: else it would be a request to whoever reads on there.
const MARK: u8 = b'=';

/// Bytes of an answer's head: of one length, so that it needs no parser.
const HEAD: usize = 64;

fn head(len: usize) -> String {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nX: ");
    let fill = "y".repeat(HEAD - 4 - head.len());
    format!("{head}{fill}\r\n\r\n")
}

fn length(message: &[u8]) -> Option<(usize, usize)> {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&message[..end]);
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    Some((end, length.map_or(0, |text| text.parse().unwrap_or(0))))
}

fn is_whole(message: &[u8]) -> bool {
    length(message).is_some_and(|(head, body)| message.len() >= head + body)
}

fn body(answer: &[u8]) -> io::Result<&[u8]> {
    let (head, _) = length(answer).ok_or_else(|| io::Error::other("an answer has no head"))?;
    answer.get(head + 1..).ok_or_else(|| io::Error::other("an answer has no body"))
}

/// Answers each request with all that it has read of it, and whatever comes of HTTP/2 with itself.
struct Server {
    address: SocketAddr,
}

impl Server {
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that is done hangs up.
                thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { address })
    }

    /// A connection whose socket does not block, and did not when it was made: a deadline for that is why.
    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..n]);
        if request.starts_with(PREFACE) {
            stream.write_all(&request)?;
            return io::copy(&mut stream.try_clone()?, &mut stream).map(|_| ());
        }
        if is_whole(&request) {
            let mut answer = head(1 + request.len()).into_bytes();
            answer.push(MARK);
            answer.append(&mut request);
            stream.write_all(&answer)?;
        }
    }
}
