//! What a recording begins with: which layouts it holds, and what made its ids.

use std::io::{self, Read, Write};

use abi::ABI_VERSION;
use abi::id::Seed;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::error::ReadError;

/// Not text, and broken by a transfer that changes line ends.
const MAGIC: [u8; 8] = *b"\x89SPANW\r\n";
/// Longest metadata, bytes: a few short facts.
const LONGEST_METADATA: u32 = 64 << 10;
/// Bytes before the metadata.
pub(super) const FIXED: usize = 8 + 4 + 4 + 16 + 4;

/// The head of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// What span and trace ids were made from: the same seed makes the same ids again.
    pub seed: Seed,
    /// For people.
    pub metadata: Metadata,
}

/// Where a recording comes from. Only the host's name is used again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// Version of the agent that wrote it.
    pub agent: String,
    /// Kernel release, as `uname -r` prints it.
    pub kernel: String,
    /// Machine, as `uname -m` prints it.
    pub machine: String,
    /// Which hook set captured.
    pub hooks: String,
    /// The host's name: it is part of every resource.
    pub host: String,
}

impl Header {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<u64> {
        let metadata = serde_json::to_vec(&self.metadata)?;
        let length = u32::try_from(metadata.len()).ok().filter(|&n| n <= LONGEST_METADATA);
        let length = length.ok_or_else(|| io::Error::other("the metadata is too long"))?;
        to.write_all(&MAGIC)?;
        to.write_all(&FORMAT.to_le_bytes())?;
        to.write_all(&ABI_VERSION.to_le_bytes())?;
        for half in self.seed {
            to.write_all(&half.to_le_bytes())?;
        }
        to.write_all(&length.to_le_bytes())?;
        to.write_all(&metadata)?;
        Ok((FIXED + metadata.len()) as u64)
    }

    /// Reads a header and how long it was.
    pub(super) fn read(from: &mut impl Read) -> Result<(Self, u64), ReadError> {
        let magic: [u8; 8] = array(from)?;
        if magic != MAGIC {
            return Err(ReadError::NotARecording);
        }
        let format = u32::from_le_bytes(array(from)?);
        let abi = u32::from_le_bytes(array(from)?);
        if format != FORMAT || abi != ABI_VERSION {
            return Err(ReadError::Version { format, abi });
        }
        let seed = [u64::from_le_bytes(array(from)?), u64::from_le_bytes(array(from)?)];
        let length = u32::from_le_bytes(array(from)?);
        if length > LONGEST_METADATA {
            return Err(ReadError::Corrupt { offset: 32, why: "metadata of impossible length" });
        }
        let mut metadata = Vec::new();
        from.take(u64::from(length)).read_to_end(&mut metadata)?;
        if metadata.len() as u64 != u64::from(length) {
            return Err(ReadError::NotARecording);
        }
        let metadata = serde_json::from_slice(&metadata).map_err(|_| ReadError::Corrupt {
            offset: FIXED as u64,
            why: "metadata that is not JSON",
        })?;
        Ok((Self { seed, metadata }, FIXED as u64 + u64::from(length)))
    }
}

fn array<const N: usize>(from: &mut impl Read) -> Result<[u8; N], ReadError> {
    let mut bytes = [0; N];
    match from.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadError::NotARecording),
        Err(error) => Err(error.into()),
    }
}
