//! Reading a recording: an iterator of inputs that is safe on any bytes.
//!
//! Memory is bounded by the longest possible frame, and grows only as bytes really come.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::error::ReadError;
use super::frame::{self, HEAD};
use super::header::Header;
use crate::input::Input;

/// The inputs of a recording, in order. Ends after the first error.
pub struct Reader<R> {
    from: BufReader<R>,
    header: Header,
    /// Bytes read so far: where the next frame begins.
    offset: u64,
    truncated: bool,
    over: bool,
    payload: Vec<u8>,
}

impl Reader<File> {
    /// Opens a recording.
    ///
    /// # Errors
    /// The file cannot be read, or is not a recording of this version.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::new(File::open(path)?)
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn new(from: R) -> Result<Self, ReadError> {
        let mut from = BufReader::with_capacity(64 << 10, from);
        let (header, offset) = Header::read(&mut from)?;
        Ok(Self { from, header, offset, truncated: false, over: false, payload: Vec::new() })
    }

    /// What the recording says of itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The last frame was cut off, as when the writer was killed. Known once the iterator has ended.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.truncated
    }

    fn read_next(&mut self) -> Result<Option<Input>, ReadError> {
        let mut head = Vec::with_capacity(HEAD);
        self.from.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(None);
        }
        let Ok(head) = <[u8; HEAD]>::try_from(head.as_slice()) else {
            return Ok(self.cut_off());
        };
        let offset = self.offset;
        let announced = frame::announced(head).map_err(|why| ReadError::Corrupt { offset, why })?;
        let length = u64::from(announced.length);
        self.payload.clear();
        self.from.by_ref().take(length).read_to_end(&mut self.payload)?;
        if self.payload.len() as u64 != length {
            return Ok(self.cut_off());
        }
        self.offset += HEAD as u64 + length;
        let input = frame::decode(announced, &self.payload);
        input.map(Some).map_err(|why| ReadError::Corrupt { offset, why })
    }

    fn cut_off(&mut self) -> Option<Input> {
        self.truncated = true;
        log::warn!("the recording is cut off at byte {}: what was whole is used", self.offset);
        None
    }
}

#[cfg(test)]
impl<R> Reader<R> {
    /// Bytes held for payloads.
    pub(super) fn allocated(&self) -> usize {
        self.payload.capacity()
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Input, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read_next().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}
