//! HPACK (RFC 7541): header blocks of one direction to fields, in wire order.
//!
//! The encoder's table is followed from outside, and perhaps from the middle: a decoder may be *joined late*, and may
//! [lose blocks](Decoder::lose). What it cannot know is `None`, never a guess and never another entry's value; literals
//! teach it again. See [`dynamic_table`] for what is certain and why. Nothing panics on any bytes, and memory is
//! bounded whatever the peer announces.
//!
//! Every header block must be given to [`Decoder::block`], wanted or not, or be told as lost.
#![forbid(unsafe_code)]

mod decoder;
mod dynamic_table;
mod huffman;
mod integer;
mod static_table;
#[cfg(test)]
pub(super) mod tests;

pub use decoder::{Decoded, Decoder, Field};

/// Most memory a [`Decoder`] holds, bytes, about: the entries kept, their places in a queue grown by doubling, and two
/// literals that are being read.
pub const DECODER_HELD: usize = 512 * 1024;

/// Why a header block is none (RFC 7541; a connection error of the type COMPRESSION_ERROR, RFC 9113 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It ends inside a representation.
    #[error("the block ends inside a representation")]
    Truncated,
    /// An integer is larger than 32 bits, or longer than any encoder makes it (§5.1).
    #[error("an integer is too large")]
    Integer,
    /// A string is no Huffman code: padding longer than 7 bits or not of ones, or EOS (§5.2).
    #[error("a string is not Huffman code")]
    Huffman,
    /// An index refers to no entry (§2.3.3, §6.1).
    #[error("an index refers to no entry")]
    Index,
    /// A table size update behind a field (§4.2).
    #[error("a table size update behind a field")]
    SizeUpdateLate,
    /// A table size update above what the decoder allows (§6.3).
    #[error("a table size update above the limit")]
    SizeUpdateLimit,
    /// The decoder has lowered its limit, and the block does not begin with the update this asks for (§4.2).
    #[error("the table was not reduced to the lowered limit")]
    SizeNotReduced,
}
