//! The chunked coding (RFC 9112 §7.1), followed by position where bytes are missing.
//!
//! Holds no bytes: a size, how much of a chunk is left, how far a line is.
#![forbid(unsafe_code)]

use crate::protocols::Body;

/// Where in a chunked body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked(State);

#[derive(Clone, Copy, Debug)]
enum State {
    /// In `chunk-size`: its value so far and how many digits it has.
    Size { value: u64, digits: u8 },
    /// After it: white space, extensions, the line's end.
    Extension { value: u64 },
    /// In `chunk-data`, so many bytes to go.
    Data(u64),
    /// In the CRLF after it, so many bytes to go.
    DataEnd(u8),
    /// In the trailer section; whether the line is empty so far, a CR aside.
    Trailer { blank: bool },
    /// After the last byte.
    Done,
    /// A size was not to be had, or is none.
    Lost,
}

impl Default for Chunked {
    fn default() -> Self {
        Self(State::Size { value: 0, digits: 0 })
    }
}

impl Chunked {
    /// Reads on: bytes used, how many of them were data, and whether the body is complete. Uses nothing more once the
    /// framing is lost.
    pub(super) fn read(&mut self, body: Body<'_>) -> (u64, u64, bool) {
        let (used, data) = match body {
            Body::Bytes(bytes) => self.bytes(bytes),
            Body::Skip(n) | Body::Gap(n) | Body::Hidden(n) => self.missing(n),
        };
        (used, data, matches!(self.0, State::Done))
    }

    /// Whether the framing is lost.
    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.0, State::Lost)
    }

    fn bytes(&mut self, bytes: &[u8]) -> (u64, u64) {
        let mut used = 0;
        let mut data = 0;
        while let Some(byte) = bytes.get(used) {
            if let State::Data(left) = self.0 {
                let take = left.min((bytes.len() - used) as u64);
                self.0 = after_data(left - take);
                // Not more than the slice's length.
                used += take as usize;
                data += take;
                continue;
            }
            self.0 = self.byte(*byte);
            if self.is_lost() {
                break;
            }
            used += 1;
            if matches!(self.0, State::Done) {
                break;
            }
        }
        (used as u64, data)
    }

    /// One byte of framing.
    fn byte(&self, byte: u8) -> State {
        match (self.0, byte) {
            (State::Size { value, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).unwrap_or(0);
                // 15 digits: more data than any connection moves, and no overflow.
                if digits >= 15 {
                    return State::Lost;
                }
                State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 }
            }
            (State::Size { digits: 0, .. }, _) => State::Lost,
            (State::Size { value, .. } | State::Extension { value }, b'\n') => match value {
                0 => State::Trailer { blank: true },
                _ => State::Data(value),
            },
            (State::Size { value, .. }, b' ' | b'\t' | b';' | b'\r') => State::Extension { value },
            (State::Size { .. }, _) => State::Lost,
            (State::Extension { value }, _) => State::Extension { value },
            (State::DataEnd(2), b'\r') => State::DataEnd(1),
            (State::DataEnd(_), b'\n') => State::Size { value: 0, digits: 0 },
            (State::DataEnd(_), _) => State::Lost,
            (State::Trailer { blank: true }, b'\n') => State::Done,
            (State::Trailer { .. }, b'\n') => State::Trailer { blank: true },
            (State::Trailer { blank: true }, b'\r') => State::Trailer { blank: true },
            (State::Trailer { .. }, _) => State::Trailer { blank: false },
            (state @ (State::Data(_) | State::Done | State::Lost), _) => state,
        }
    }

    /// Bytes that are not here.
    fn missing(&mut self, n: u64) -> (u64, u64) {
        let mut left_out = n;
        let mut data = 0;
        if let State::Data(left) = self.0 {
            data = left.min(left_out);
            left_out -= data;
            self.0 = after_data(left - data);
        }
        if let State::DataEnd(left) = self.0
            && left_out > 0
        {
            let take = left_out.min(u64::from(left));
            left_out -= take;
            // At most 2.
            self.0 = match left - take as u8 {
                0 => State::Size { value: 0, digits: 0 },
                rest => State::DataEnd(rest),
            };
        }
        if left_out > 0 {
            self.0 = State::Lost;
        }
        (n - left_out, data)
    }
}

const fn after_data(left: u64) -> State {
    if left == 0 { State::DataEnd(2) } else { State::Data(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[Body<'_>]) -> (u64, u64, bool, bool) {
        let mut chunked = Chunked::default();
        let (mut used, mut data, mut done) = (0, 0, false);
        for part in parts {
            let (u, d, ended) = chunked.read(*part);
            used += u;
            data += d;
            done = ended;
        }
        (used, data, done, chunked.is_lost())
    }

    #[test]
    fn sizes_extensions_and_trailers() {
        let body = b"5\r\nhello\r\n0A;x=y\r\n0123456789\r\n0\r\nSum: 1\r\n\r\nHTTP/1.1 ";
        assert_eq!(read(&[Body::Bytes(body)]), (body.len() as u64 - 9, 15, true, false));
        for cut in 0..body.len() - 9 {
            let (used, data, done, _) =
                read(&[Body::Bytes(&body[..cut]), Body::Bytes(&body[cut..])]);
            assert_eq!((used, data, done), (body.len() as u64 - 9, 15, true), "cut at {cut}");
        }
    }

    #[test]
    fn data_may_be_missing_sizes_may_not() {
        let whole =
            read(&[Body::Bytes(b"ff\r\n0123"), Body::Skip(251), Body::Bytes(b"\r\n0\r\n\r\n")]);
        assert_eq!(whole, (8 + 251 + 7, 255, true, false));
        let line_end_too =
            read(&[Body::Bytes(b"ff\r\n"), Body::Gap(257), Body::Bytes(b"0\r\n\r\n")]);
        assert_eq!(line_end_too, (4 + 257 + 5, 255, true, false));
        let (used, data, done, lost) = read(&[Body::Bytes(b"ff\r\n"), Body::Skip(258)]);
        assert_eq!((used, data, done, lost), (4 + 257, 255, false, true));
    }

    #[test]
    fn what_is_no_chunk_is_lost() {
        for bytes in [
            &b"\r\n"[..],
            b"x",
            b"5\r\nhelloX",
            b"5 \r\nhello\rX",
            b"1234567890abcdef0\r\n",
            b"-1\r\n",
        ] {
            assert!(read(&[Body::Bytes(bytes)]).3, "{}", bytes.escape_ascii());
        }
    }
}
