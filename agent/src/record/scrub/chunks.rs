//! A chunked body (RFC 9112 §7.1): sizes and line ends stay, all else is hidden.

use super::HIDDEN;

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In a size, of which so many digits have been read, or in the extension after it.
    Size { size: u64, digits: u8, extension: bool },
    /// So many bytes of data are to come.
    Data(u64),
    /// The line end after data: so many bytes of it are to come.
    DataEnd(u8),
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
    pub(super) fn read(&mut self, bytes: &mut [u8], uncertain: bool) -> (usize, End) {
        let mut at = 0;
        while at < bytes.len() {
            if let Self::Data(left) = self {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                hide(&mut bytes[at..at + here], uncertain);
                at += here;
                *left -= here as u64;
                if *left == 0 {
                    *self = Self::DataEnd(2);
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
            (Self::Size { extension: true, .. }, b'\r') => {}
            (Self::Size { extension: true, .. }, _) => *byte = HIDDEN,
            (Self::Size { digits: 0, .. }, b';' | b' ' | b'\t' | b'\r') => return End::Broken,
            (Self::Size { size, digits, .. }, b';' | b' ' | b'\t' | b'\r') => {
                *self = Self::Size { size, digits, extension: true };
            }
            (Self::Size { size, digits, .. }, digit) => match char::from(digit).to_digit(16) {
                // 15 digits: more than any connection moves.
                Some(value) if digits < 15 => {
                    let size = (size << 4) | u64::from(value);
                    *self = Self::Size { size, digits: digits + 1, extension: false };
                }
                _ => return End::Broken,
            },
            (Self::DataEnd(2), b'\r') => *self = Self::DataEnd(1),
            (Self::DataEnd(_), b'\n') => *self = Self::START,
            (Self::DataEnd(_), _) => return End::Broken,
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
    pub(super) fn skip(&mut self, mut bytes: u64) -> bool {
        if let Self::Data(left) = *self {
            let here = left.min(bytes);
            bytes -= here;
            *self = if left == here { Self::DataEnd(2) } else { Self::Data(left - here) };
        }
        if let Self::DataEnd(left) = *self {
            let here = bytes.min(u64::from(left));
            bytes -= here;
            *self = match u64::from(left) - here {
                0 => Self::START,
                1 => Self::DataEnd(1),
                _ => Self::DataEnd(2),
            };
        }
        bytes == 0
    }
}

/// How far back from the end of a call the last chunk may begin.
const WINDOW: usize = 128;

/// Hides a stretch of a chunked body whose framing was lost, and says whether it ends the body. What the end can be
/// recognised by stays: line ends, the digit of the last chunk's size, and what makes a trailer one. `window` holds
/// the last bytes of what came before without a hole.
pub(super) fn hide_lost(bytes: &mut [u8], window: &mut Vec<u8>) -> bool {
    hide(bytes, true);
    window.extend_from_slice(&bytes[bytes.len().saturating_sub(WINDOW)..]);
    window.drain(..window.len().saturating_sub(WINDOW));
    ends_chunks(window)
}

/// Hides bytes of a body: all, or all that an end cannot be recognised by.
pub(super) fn hide(bytes: &mut [u8], uncertain: bool) {
    for byte in bytes {
        if !uncertain || !matches!(*byte, b'\r' | b'\n' | b'0' | b':' | b' ') {
            *byte = HIDDEN;
        }
    }
}

/// CRLF, the last chunk, trailers, CRLF.
fn ends_chunks(bytes: &[u8]) -> bool {
    const LAST: &[u8] = b"\r\n0\r\n";
    let Some(start) = bytes.windows(LAST.len()).rposition(|w| w == LAST) else { return false };
    let Some(trailers) = bytes[start + LAST.len()..].strip_suffix(b"\r\n") else { return false };
    trailers.is_empty()
        || (trailers.ends_with(b"\r\n")
            && trailers[..trailers.len() - 2]
                .split(|&b| b == b'\n')
                .all(|line| line.iter().position(|&b| b == b':').is_some_and(|at| at > 0)))
}
