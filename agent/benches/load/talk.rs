//! What is said: requests and answers as the calls that move them, each with what a probe would copy of it.

/// Bytes from which on a message is not copied whole, and what is kept behind its head then.
const SMALL_MESSAGES: usize = 2048;
const AFTER_HEAD: usize = 512;
/// Bytes from which on a body's call is not copied whole, and what is copied at each end then.
const SMALL: usize = 1024;
const EDGE: usize = 64;

/// One call.
pub(super) struct Call {
    /// Bytes moved.
    pub(super) len: u32,
    /// Bytes copied from its beginning, and from its end.
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

/// A request and its answer.
pub(super) struct Exchange {
    pub(super) request: Vec<Call>,
    pub(super) answer: Vec<Call>,
}

impl Exchange {
    /// The one of that number: of eight, four are small, one has a query and a context, one an upload, one a long
    /// download and one a chunked answer.
    pub(super) fn new(number: u64, port: u16) -> Self {
        let user = number % 977;
        match number / 16 % 8 {
            4 => Self {
                request: vec![start(&get(
                    &format!("/search?q=tea+{user}&token=0123456789abcdef"),
                    port,
                    &format!("traceparent: 00-{:032x}-{:016x}-01\r\n", number + 1, number + 1),
                ))],
                answer: vec![start(&sized("200 OK", 700))],
            },
            5 => {
                let head = format!(
                    "POST /orders HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: python-requests/2.32\r\n\
                     Content-Type: application/json\r\nContent-Length: 300\r\n\r\n"
                );
                let request = [head.as_bytes(), &[b'{'; 300]].concat();
                Self { request: vec![start(&request)], answer: vec![start(&sized("201 Created", 48))] }
            }
            6 => {
                let mut answer = vec![start(&sized("200 OK", 200_000)[..16_384])];
                let mut left = sized("200 OK", 200_000).len() - 16_384;
                while left > 0 {
                    let length = left.min(65_536);
                    answer.push(body(&vec![b'd'; length]));
                    left -= length;
                }
                Self { request: vec![start(&get("/export.csv", port, ""))], answer }
            }
            7 => Self {
                request: vec![start(&get("/feed", port, "Accept: text/event-stream\r\n"))],
                answer: vec![
                    start(
                        b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
                    ),
                    body(&chunk(500)),
                    body(&chunk(3000)),
                    body(b"0\r\n\r\n"),
                ],
            },
            _ => Self {
                request: vec![start(&get(&format!("/items/{user}"), port, ""))],
                answer: vec![start(&sized("200 OK", 1024))],
            },
        }
    }
}

fn get(target: &str, port: u16, more: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: python-requests/2.32\r\n\
         Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nCookie: session=0123456789\r\n{more}\r\n"
    )
    .into_bytes()
}

fn sized(status: &str, length: usize) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: keep-alive\r\nETag: \"65e1c3a1-400\"\r\n\r\n"
    )
    .into_bytes();
    answer.resize(answer.len() + length, b'b');
    answer
}

fn chunk(length: usize) -> Vec<u8> {
    let mut chunk = format!("{length:x}\r\n").into_bytes();
    chunk.resize(chunk.len() + length, b'c');
    chunk.extend(b"\r\n");
    chunk
}

/// A call that begins a message.
fn start(bytes: &[u8]) -> Call {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
    let keep = if bytes.len() <= SMALL_MESSAGES { bytes.len() } else { head + AFTER_HEAD };
    copied(bytes, keep)
}

/// A call that goes on with a body.
fn body(bytes: &[u8]) -> Call {
    copied(bytes, if bytes.len() <= SMALL { bytes.len() } else { EDGE })
}

fn copied(bytes: &[u8], keep: usize) -> Call {
    let rest = &bytes[keep..];
    let tail = if rest.len() > EDGE { &rest[rest.len() - EDGE..] } else { &[] };
    Call { len: bytes.len() as u32, head: bytes[..keep].to_vec(), tail: tail.to_vec() }
}
