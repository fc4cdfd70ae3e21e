//! Recordings: everything that entered the pipeline, in a file, and back.
//!
//! A recording replays without root through the same pipeline. It is made to be sent to other people: secrets and
//! bodies are overwritten as it is written ([`scrub`]), the file is readable by its owner only, and reading one is safe
//! whatever its bytes are.
//!
//! Layout, all numbers little-endian:
//!
//! ```text
//! magic 8 | format u32 | ABI version u32 | seed 2 × u64 | length u32, metadata as JSON
//! then frames: length of the payload u32 | kind u8 | three zero bytes | payload
//! ```
//!
//! Payloads are the kernel's structs as they are in memory (for data: header, then its bytes), JSON for facts about
//! processes, plain numbers for the rest.
#![forbid(unsafe_code)]

mod error;
mod frame;
mod header;
mod reader;
mod scrub;
mod writer;

pub use error::ReadError;
pub use header::{Header, Metadata};
pub use reader::Reader;
pub use writer::{Writer, Written};

/// Version of the file's own layout; the structs have [`abi::ABI_VERSION`].
const FORMAT: u32 = 1;

// The structs' bytes are written as they are.
const _: () = assert!(cfg!(target_endian = "little"), "recordings are little-endian");

#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod tests;
