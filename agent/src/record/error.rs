//! Why a recording cannot be read.
#![forbid(unsafe_code)]

use std::io;

use abi::ABI_VERSION;

use super::FORMAT;

/// Why a recording cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Wrong magic, or shorter than a header.
    #[error("this is not a recording of spanwire")]
    NotARecording,
    /// Written by another version.
    #[error(
        "this recording has format {format} and ABI {abi}, this spanwire reads format {} and ABI {}: \
         replay it with the version that wrote it",
        FORMAT,
        ABI_VERSION
    )]
    Version {
        /// The file's format.
        format: u32,
        /// The file's ABI version.
        abi: u32,
    },
    /// What cannot have been written is there.
    #[error("the recording is corrupt at byte {offset}: {why}")]
    Corrupt {
        /// Where the frame begins.
        offset: u64,
        /// What was found.
        why: &'static str,
    },
}
