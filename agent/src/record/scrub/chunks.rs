//! A chunked body (RFC 9112 §7.1): sizes and line ends stay, all else is hidden.

use super::HIDDEN;

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a size, of which so many digits have been read, or in the extension after it.
    Size { size: u64, digits: u8, extension: bool },
    /// So many bytes of data are to come.
    Data(u64),
    /// The line end after data.
    DataEnd,
    /// After the last chunk; the line has had bytes other than CR.
    Trailer { line_empty: bool },
}

/// What reading on came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    NotYet,
    /// The body is over.
    Complete,
    /// These were not chunks.
    Broken,
}

impl Chunks {
    /// At the first byte of a body.
    pub(super) const START: Self = Self::Size { size: 0, digits: 0, extension: false };

    /// Reads on, hiding in place; says how many bytes it took.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> (usize, End) {
        let mut at = 0;
        while at < bytes.len() {
            if let Self::Data(left) = self {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                bytes[at..at + here].fill(HIDDEN);
                at += here;
                *left -= here as u64;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                continue;
            }
            match self.line_byte(&mut bytes[at]) {
                End::NotYet => at += 1,
                End::Complete => return (at + 1, End::Complete),
                End::Broken => return (at, End::Broken),
            }
        }
        (at, End::NotYet)
    }

    fn line_byte(&mut self, byte: &mut u8) -> End {
        match (*self, *byte) {
            (Self::Size { digits: 0, .. }, b'\n') => return End::Broken,
            (Self::Size { size: 0, .. }, b'\n') => *self = Self::Trailer { line_empty: true },
            (Self::Size { size, .. }, b'\n') => *self = Self::Data(size),
            (Self::Size { .. }, b'\r') => {}
            (Self::Size { extension: true, .. }, _) => *byte = HIDDEN,
            (Self::Size { size, digits, .. }, b';' | b' ' | b'\t') => {
                *self = Self::Size { size, digits, extension: true };
            }
            (Self::Size { size, digits, .. }, digit) => match char::from(digit).to_digit(16) {
                Some(value) if digits < 16 => {
                    let size = (size << 4) | u64::from(value);
                    *self = Self::Size { size, digits: digits + 1, extension: false };
                }
                _ => return End::Broken,
            },
            (Self::DataEnd, b'\r') => {}
            (Self::DataEnd, b'\n') => *self = Self::START,
            (Self::DataEnd, _) => return End::Broken,
            (Self::Trailer { line_empty: true }, b'\n') => return End::Complete,
            (Self::Trailer { .. }, b'\n') => *self = Self::Trailer { line_empty: true },
            (Self::Trailer { .. }, b'\r') => {}
            (Self::Trailer { .. }, b':') => *self = Self::Trailer { line_empty: false },
            (Self::Trailer { .. }, _) => {
                *byte = HIDDEN;
                *self = Self::Trailer { line_empty: false };
            }
            (Self::Data(_), _) => {}
        }
        End::NotYet
    }

    /// So many bytes passed that are not here. False: where the next chunk begins is lost.
    pub(super) const fn skip(&mut self, bytes: u64) -> bool {
        match *self {
            Self::Data(left) if bytes < left => {
                *self = Self::Data(left - bytes);
                true
            }
            Self::Data(left) if bytes == left => {
                *self = Self::DataEnd;
                true
            }
            _ => false,
        }
    }
}

/// Hides a stretch of a chunked body whose framing was lost. What a reader can find the framing again by stays: line
/// ends, the digit of the last chunk's size, and a chunk size where a call begins.
pub(super) fn hide_lost(bytes: &mut [u8], call_begins: bool) {
    let mut kept = 0;
    if call_begins {
        let digits = bytes.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if (1..=8).contains(&digits) && bytes[digits..].starts_with(b"\r\n") {
            kept = digits;
        }
    }
    for byte in &mut bytes[kept..] {
        if !matches!(*byte, b'\r' | b'\n' | b'0') {
            *byte = HIDDEN;
        }
    }
}
