//! A raw HTTP/1.1 client: bytes out as the test says, answers in by the rules of RFC 9112 §6.

use std::io::{BufRead as _, BufReader, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::wait::{self, Deadline};

/// How long a client waits for bytes before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a server is.
#[derive(Clone, Debug)]
pub enum Target {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Target {
    /// 127.0.0.1 and that port.
    #[must_use]
    pub fn port(port: u16) -> Self {
        Self::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// That address and port.
    ///
    /// # Errors
    /// When it is no address.
    pub fn at(address: &str, port: u16) -> anyhow::Result<Self> {
        Ok(Self::Tcp(SocketAddr::new(address.parse()?, port)))
    }

    /// The `Host` header for it.
    #[must_use]
    pub fn host(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status code.
    pub status: u16,
    /// Its header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body, without framing.
    pub body: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// An open connection.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    host: String,
    tcp: Option<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(target: &Target) -> anyhow::Result<Self> {
        let (stream, tcp): (Box<dyn Stream>, _) = match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).with_context(|| address.to_string())?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                let twin = stream.try_clone()?;
                (Box::new(stream), Some(twin))
            }
            Target::Unix(path) => {
                let stream =
                    UnixStream::connect(path).with_context(|| path.display().to_string())?;
                stream.set_read_timeout(Some(PATIENCE))?;
                (Box::new(stream), None)
            }
        };
        Ok(Self { stream: BufReader::new(stream), host: target.host(), tcp })
    }

    /// Sends bytes as they are, in one call.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        Ok(self.stream.get_mut().write_all(bytes.as_ref())?)
    }

    /// Sends these bytes by one call that has them in two segments, the second from `cut` on.
    ///
    /// # Errors
    /// When they cannot be sent, or not all at once.
    pub fn send_in_two(&mut self, bytes: impl AsRef<[u8]>, cut: usize) -> anyhow::Result<()> {
        let (first, second) = bytes.as_ref().split_at(cut);
        let sent =
            self.stream.get_mut().write_vectored(&[IoSlice::new(first), IoSlice::new(second)])?;
        ensure!(sent == first.len() + second.len(), "only {sent} bytes were sent");
        Ok(())
    }

    /// Reads the answer to a request of that method.
    ///
    /// # Errors
    /// When what comes is not an answer, or nothing comes.
    pub fn answer(&mut self, method: &str) -> anyhow::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(
                self.stream.read_until(b'\n', &mut head)? > 0,
                "the connection ended in a head: {head:?}"
            );
        }
        let mut slots = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut slots);
        parsed.parse(&head)?;
        let headers: Vec<(String, String)> = parsed
            .headers
            .iter()
            .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).into_owned()))
            .collect();
        let status = parsed.code.context("no status")?;
        let mut answer = Answer { status, headers, body: Vec::new() };
        let value = |name: &str| {
            answer.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        let (length, coding) = (value("content-length"), value("transfer-encoding"));
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
        } else if coding.is_some_and(|coding| coding.contains("chunked")) {
            answer.body = self.chunks()?;
        } else if let Some(length) = length {
            answer.body.resize(length.parse()?, 0);
            self.stream.read_exact(&mut answer.body)?;
        } else {
            self.stream.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// Sends a request without a body and reads its answer.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Connection::answer`].
    pub fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.ask("GET", path, &[])
    }

    /// Sends a request with headers and no body, and reads its answer.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Connection::answer`].
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.send(request)?;
        self.answer(method)
    }

    /// Waits until so many bytes lie unread in the socket.
    ///
    /// # Errors
    /// When they do not come, or it is not TCP.
    pub fn wait_unread(&self, count: usize) -> anyhow::Result<()> {
        let tcp = self.tcp.as_ref().context("it is not TCP")?;
        let all = |unread: u64| usize::try_from(unread).is_ok_and(|unread| unread >= count);
        wait::until("unread bytes", Deadline::after(PATIENCE), || {
            rustix::io::ioctl_fionread(tcp).map(|unread| all(unread).then_some(())).transpose()
        })??;
        Ok(())
    }

    /// Reads until what was read ends like this.
    ///
    /// # Errors
    /// When it does not come.
    pub fn until(&mut self, end: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let last = *end.last().context("no end")?;
        while !bytes.ends_with(end) {
            ensure!(self.stream.read_until(last, &mut bytes)? > 0, "it ended before: {bytes:?}");
        }
        Ok(bytes)
    }

    /// Reads all that has arrived.
    ///
    /// # Errors
    /// When it cannot be read, or it is not TCP.
    pub fn unread(&mut self) -> anyhow::Result<Vec<u8>> {
        let arrived = rustix::io::ioctl_fionread(self.tcp.as_ref().context("it is not TCP")?)?;
        let mut bytes = vec![0; usize::try_from(arrived)? + self.stream.buffer().len()];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads until the peer closes.
    ///
    /// # Errors
    /// When it does not, or resets.
    pub fn rest(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16)
                .with_context(|| format!("chunk size {line:?}"))?;
            let from = body.len();
            body.resize(from + length, 0);
            self.stream.read_exact(&mut body[from..])?;
            self.stream.read_line(&mut line)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}
