//! Writing a recording: scrubbed, bounded, counted.
//!
//! The writer never changes the order or the number of inputs: when its limit is reached it stops for good, since a
//! recording with holes would replay as something that did not happen.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::frame::{self, DATA_BYTES};
use super::header::Header;
use super::scrub::{Scrubber, scrubbed_facts};
use crate::input::Input;

/// What a writer did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Inputs in the file.
    pub inputs: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Inputs left out because the file had reached its limit.
    pub over_limit: u64,
    /// Inputs that were not such as the kernel or the agent makes, and were left out.
    pub malformed: u64,
    /// Data events of connections beyond those whose state is kept: overwritten whole unless they begin a message.
    pub scrubbed_blindly: u64,
}

/// Writes inputs to a file or any other sink.
pub struct Writer<W: Write> {
    to: BufWriter<W>,
    scrubber: Scrubber,
    /// Longest the file may become, bytes.
    limit: u64,
    full: bool,
    written: Written,
    frame: Vec<u8>,
}

impl Writer<File> {
    /// Makes a new file, readable by its owner only. A file that is there already is an error: another user may have
    /// put it there.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub fn create(path: &Path, header: &Header, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Self::new(file, header, limit)
    }
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// What the sink says.
    pub fn new(to: W, header: &Header, limit: u64) -> io::Result<Self> {
        let mut to = BufWriter::with_capacity(64 << 10, to);
        let bytes = header.write(&mut to)?;
        Ok(Self {
            to,
            scrubber: Scrubber::default(),
            limit,
            full: false,
            written: Written { bytes, ..Written::default() },
            frame: Vec::new(),
        })
    }

    /// Writes one input, without its secrets.
    ///
    /// # Errors
    /// What the sink says.
    pub fn write(&mut self, input: &Input) -> io::Result<()> {
        if self.full {
            self.written.over_limit += 1;
            return Ok(());
        }
        let encoded = match input {
            Input::Process(facts) => {
                let facts = Input::Process(Box::new(scrubbed_facts(facts)));
                frame::encode(&facts, &mut self.frame)
            }
            _ => frame::encode(input, &mut self.frame),
        };
        if encoded.is_err() {
            self.written.malformed += 1;
            return Ok(());
        }
        match input {
            Input::Data(header, _) => self.scrubber.data(header, &mut self.frame[DATA_BYTES..]),
            Input::Closed(closed) => self.scrubber.forget(closed.connection),
            Input::UnixGone(gone) => gone.iter().for_each(|id| self.scrubber.forget(id.0)),
            _ => {}
        }
        let bytes = self.written.bytes + self.frame.len() as u64;
        if bytes > self.limit {
            self.full = true;
            self.written.over_limit += 1;
            log::warn!(
                "the recording has reached its limit of {} bytes and stops here",
                self.limit
            );
            return Ok(());
        }
        self.to.write_all(&self.frame)?;
        self.written.bytes = bytes;
        self.written.inputs += 1;
        Ok(())
    }

    /// The limit is reached: nothing more will be written.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// What the sink says.
    pub fn finish(mut self) -> io::Result<Written> {
        self.to.flush()?;
        self.written.scrubbed_blindly = self.scrubber.blind();
        Ok(self.written)
    }
}
