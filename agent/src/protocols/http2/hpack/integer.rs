//! Integers with a prefix (RFC 7541 §5.1).
#![forbid(unsafe_code)]

use super::Error;

/// Most octets after the prefix: what 32 bits need, and as many again for encoders that pad with zeros.
const OCTETS_MAX: usize = 10;

/// Reads the integer whose first octet has `prefix` (1 to 8) bits of it, and moves `bytes` on. Larger than 32 bits is
/// an error, as no table, string or setting is.
pub(super) fn read(bytes: &mut &[u8], prefix: u32) -> Result<u32, Error> {
    let (first, rest) = bytes.split_first().ok_or(Error::Truncated)?;
    let mask = 0xff >> (8 - prefix);
    let mut value = u64::from(first & mask);
    if value < u64::from(mask) {
        *bytes = rest;
        return Ok(u32::from(first & mask));
    }
    for (n, octet) in rest.iter().enumerate().take(OCTETS_MAX) {
        let bits = u64::from(octet & 0x7f);
        // Nothing but zeros can fit beyond the fifth octet.
        if n > 4 && bits != 0 {
            return Err(Error::Integer);
        }
        value += if n > 4 { 0 } else { bits << (7 * n) };
        if octet & 0x80 == 0 {
            *bytes = &rest[n + 1..];
            return u32::try_from(value).map_err(|_| Error::Integer);
        }
    }
    Err(if rest.len() < OCTETS_MAX { Error::Truncated } else { Error::Integer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_appendix_c_1() {
        for (bytes, prefix, value) in
            [(&[0x0a][..], 5, 10), (&[0x1f, 0x9a, 0x0a], 5, 1337), (&[0x2a], 8, 42)]
        {
            let mut rest = bytes;
            assert_eq!(read(&mut rest, prefix), Ok(value));
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn what_does_not_end_or_fit_is_refused() {
        assert_eq!(read(&mut &[][..], 7), Err(Error::Truncated));
        assert_eq!(read(&mut &[0x7f, 0x80][..], 7), Err(Error::Truncated));
        assert_eq!(read(&mut &[0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f][..], 7), Err(Error::Integer));
        let mut most = &[0xff, 0x80, 0xfe, 0xff, 0xff, 0x0f][..];
        assert_eq!(read(&mut most, 8), Ok(u32::MAX));
        assert_eq!(read(&mut &[0xff; 20][..], 8), Err(Error::Integer));
        let mut padded = &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00][..];
        assert_eq!(read(&mut padded, 7), Ok(127));
    }
}
