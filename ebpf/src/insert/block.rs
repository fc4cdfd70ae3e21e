//! Putting a field behind a header block of HTTP/2 (RFC 9113 §4.3, RFC 7541).
//!
//! It is a literal without indexing (RFC 7541 §6.2.2): no table changes at either end, so all blocks behind it mean what they meant. It
//! stands behind all other fields: what must be first, pseudo-headers and changes of a table's size, stays so. Must never be put
//! where a `traceparent` is already: [`Names`] looks for its name, in all blocks of a connection.

/// Octets of the field: its form, the length of its name and that, the length of its value and that.
pub const LEN: usize = 2 + NAME.len() + 1 + VALUE;

/// A literal without indexing, whose name is one that no table has (RFC 7541 §6.2.2).
pub const FORM: u8 = 0;

/// The name.
pub const NAME: &[u8; 11] = b"traceparent";

/// Octets of a value of version 00.
pub const VALUE: usize = 55;

/// Where in the field the value begins.
pub const VALUE_AT: usize = LEN - VALUE;

/// Longest frame that every peer takes (SETTINGS_MAX_FRAME_SIZE, RFC 9113 §6.5.2).
pub const LONGEST_FRAME: u64 = 16_384;

/// Looks for the name in octets of header blocks.
///
/// A name is a string, as it is or in the one Huffman code (RFC 7541 §5.2, appendix B), or a reference to one before it in the same connection.
/// So whoever has seen all blocks of a connection knows whether there was any. Eight octets are enough to be certain that it is not there; what is
/// a part of something else may look like it, and then nothing is put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Names(pub u64);

impl Names {
    const PLAIN: u64 = u64::from_be_bytes(*b"ceparent");
    const HUFFMAN: u64 = 0x4d83_216b_1d85_a93f;

    /// With one more octet.
    #[must_use]
    #[inline(always)]
    pub const fn octet(self, octet: u8) -> Self {
        Self(self.0 << 8 | octet as u64)
    }

    /// Whether the octets so far end with the name.
    #[must_use]
    #[inline(always)]
    pub const fn is_there(self) -> bool {
        self.0 == Self::PLAIN || self.0 == Self::HUFFMAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(block: &[u8]) -> bool {
        let mut names = Names::default();
        block.iter().any(|octet| {
            names = names.octet(*octet);
            names.is_there()
        })
    }

    #[test]
    fn a_name_is_found_as_it_may_be_written() {
        assert!(is_in(b"\x82\x40\x0btraceparent\x0200"));
        assert!(is_in(b"\x82\x10\x0btraceparent\x0200"));
        assert!(is_in(b"\x82\x40\x88\x4d\x83\x21\x6b\x1d\x85\xa9\x3f\x0200"));
        assert!(!is_in(b"\x82\x86\x84\x40\x0atracestate\x0200"));
        assert!(!is_in(b"\x82\x86\x84\x41\x0fwww.example.com"));
    }
}
