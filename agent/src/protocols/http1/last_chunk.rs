//! Finding the end of a chunked body whose sizes were lost: a call that ends with the last chunk.
//!
//! The kernel copies each call's head and its last 64 bytes for this. Holds [`WINDOW`] bytes.
#![forbid(unsafe_code)]

use crate::protocols::Body;

/// How far back from a call's end the last chunk may begin; trailers longer than that are not recognised.
pub(super) const WINDOW: usize = 128;

/// The last bytes of what was seen without a hole.
#[derive(Clone, Debug, Default)]
pub(super) struct LastChunk {
    window: Vec<u8>,
}

impl LastChunk {
    /// Reads on; whether these bytes end with the last chunk (RFC 9112 §7.1): CRLF `0` CRLF, trailers, CRLF.
    pub(super) fn read(&mut self, body: Body<'_>) -> bool {
        let Body::Bytes(bytes) = body else {
            self.window.clear();
            return false;
        };
        let fresh = &bytes[bytes.len().saturating_sub(WINDOW)..];
        let keep = self.window.len().min(WINDOW - fresh.len());
        self.window.drain(..self.window.len() - keep);
        self.window.extend_from_slice(fresh);
        is_end(&self.window)
    }
}

fn is_end(window: &[u8]) -> bool {
    const LAST: &[u8] = b"\r\n0\r\n";
    if !window.ends_with(b"\r\n\r\n") {
        return false;
    }
    let Some(start) = window.windows(LAST.len()).rposition(|bytes| bytes == LAST) else {
        return false;
    };
    let trailers = &window[start + LAST.len()..];
    let mut lines = [httparse::EMPTY_HEADER; 16];
    trailers == b"\r\n"
        || matches!(httparse::parse_headers(trailers, &mut lines),
            Ok(httparse::Status::Complete((used, _))) if used == trailers.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_is_known_by_the_end_of_a_call() {
        assert!(LastChunk::default().read(Body::Bytes(b"data\r\n0\r\n\r\n")));
        assert!(LastChunk::default().read(Body::Bytes(b"data\r\n0\r\nSum: 77\r\nA: b\r\n\r\n")));
        assert!(!LastChunk::default().read(Body::Bytes(b"data\r\n0\r\n\r\nmore")));
        assert!(!LastChunk::default().read(Body::Bytes(b"0\r\n\r\n")));
        assert!(!LastChunk::default().read(Body::Bytes(b"\r\n0\r\nno header\r\n\r\n")));
    }

    #[test]
    fn it_may_be_cut_but_not_by_a_hole() {
        let mut end = LastChunk::default();
        assert!(!end.read(Body::Bytes(&[b'x'; 500])));
        assert!(!end.read(Body::Bytes(b"\r\n")));
        assert!(!end.read(Body::Bytes(b"0\r\n")));
        assert!(end.read(Body::Bytes(b"\r\n")));
        let mut end = LastChunk::default();
        assert!(!end.read(Body::Bytes(b"\r\n")));
        assert!(!end.read(Body::Skip(1)));
        assert!(!end.read(Body::Bytes(b"0\r\n\r\n")));
    }
}
