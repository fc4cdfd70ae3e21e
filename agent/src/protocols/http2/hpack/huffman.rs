//! The Huffman code of string literals (RFC 7541 §5.2, Appendix B), decoded four bits at a time.
//!
//! The code is canonical: sorted by length and then by symbol, codes count up. So the lengths are all that is written
//! down, and the decoder's states are built from them when this is compiled. A string may expand to 8/5 of its
//! length and no more.
#![forbid(unsafe_code)]

use super::Error;

/// Bits of each symbol's code; the last is EOS.
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30, // EOS
];

/// Octets, and EOS.
const SYMBOLS: usize = 257;
const EOS: usize = 256;
/// Longest code, bits.
const LONGEST: u8 = 30;
/// A binary tree with one leaf for each symbol has one inner node less than leaves.
const STATES: usize = SYMBOLS - 1;

/// What four more bits do in a state.
#[derive(Clone, Copy)]
struct Step {
    /// The state after them.
    next: u8,
    /// [`EMITS`], [`MAY_END`], [`FAILS`].
    flags: u8,
    /// What they completed.
    symbol: u8,
}

/// A symbol is complete. Never two: the shortest code has five bits.
const EMITS: u8 = 1;
/// The string may end here: what is left is at most seven bits, all ones (§5.2).
const MAY_END: u8 = 2;
/// They completed EOS, which no string may hold (§5.2).
const FAILS: u8 = 4;

static STEPS: [[Step; 16]; STATES] = steps();

/// Decodes `bytes` and appends them to `out`.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    out.reserve(bytes.len().saturating_mul(8) / 5);
    let mut state = 0;
    let mut may_end = true;
    for byte in bytes {
        for bits in [byte >> 4, byte & 0x0f] {
            let step = STEPS[usize::from(state)][usize::from(bits)];
            if step.flags & FAILS != 0 {
                return Err(Error::Huffman);
            }
            if step.flags & EMITS != 0 {
                out.push(step.symbol);
            }
            state = step.next;
            may_end = step.flags & MAY_END != 0;
        }
    }
    if may_end { Ok(()) } else { Err(Error::Huffman) }
}

/// A branch that leads nowhere yet.
const NOWHERE: u16 = u16::MAX;
/// A branch to a symbol has this added.
const LEAF: u16 = 0x1000;

/// The code's tree: two branches for each inner node; the root is node 0.
const fn tree() -> [[u16; 2]; STATES] {
    let mut nodes = [[NOWHERE; 2]; STATES];
    let mut used = 1;
    let mut code = 0u32;
    let mut length = 1;
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] == length {
                let mut node = 0;
                let mut bit = length;
                while bit > 1 {
                    bit -= 1;
                    let branch = (code >> bit & 1) as usize;
                    if nodes[node][branch] == NOWHERE {
                        nodes[node][branch] = used;
                        used += 1;
                    }
                    node = nodes[node][branch] as usize;
                }
                nodes[node][(code & 1) as usize] = LEAF + symbol as u16;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    nodes
}

const fn steps() -> [[Step; 16]; STATES] {
    let nodes = tree();
    let padding = padding(&nodes);
    let mut steps = [[Step { next: 0, flags: 0, symbol: 0 }; 16]; STATES];
    let mut state = 0;
    while state < STATES {
        let mut bits = 0;
        while bits < 16 {
            let mut step = Step { next: 0, flags: 0, symbol: 0 };
            let mut node = state;
            let mut bit = 4;
            while bit > 0 {
                bit -= 1;
                let to = nodes[node][bits >> bit & 1];
                if to >= LEAF {
                    let symbol = (to - LEAF) as usize;
                    step.flags |= if symbol == EOS { FAILS } else { EMITS };
                    step.symbol = (symbol & 0xff) as u8;
                    node = 0;
                } else {
                    node = to as usize;
                }
            }
            step.next = node as u8;
            if padding[node] {
                step.flags |= MAY_END;
            }
            steps[state][bits] = step;
            bits += 1;
        }
        state += 1;
    }
    steps
}

/// The nodes at which a string may end: the root, and those that up to seven ones lead to.
const fn padding(nodes: &[[u16; 2]; STATES]) -> [bool; STATES] {
    let mut may = [false; STATES];
    let mut node = 0;
    let mut ones = 0;
    while ones < 8 {
        may[node] = true;
        node = nodes[node][1] as usize;
        ones += 1;
    }
    may
}

/// The code of a symbol and its length in bits: for encoders in tests.
#[cfg(test)]
pub(super) fn code(symbol: u8) -> (u32, u8) {
    let mut code = 0u32;
    for length in 1..=LONGEST {
        for (other, bits) in LENGTHS.iter().enumerate() {
            if *bits == length {
                if other == usize::from(symbol) {
                    return (code, length);
                }
                code += 1;
            }
        }
        code <<= 1;
    }
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        decode(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn codes_of_appendix_b() {
        // The first, the last, the shortest and the longest.
        assert_eq!(code(0), (0x1ff8, 13));
        assert_eq!(code(b'0'), (0x0, 5));
        assert_eq!(code(b'z'), (0x7b, 7));
        assert_eq!(code(22), (0x3fff_fffe, 30));
        assert_eq!(code(255), (0x3ff_ffee, 26));
    }

    #[test]
    fn every_octet_is_decoded_from_its_code() {
        for symbol in 0..=255u8 {
            let (code, length) = code(symbol);
            let ones = u64::MAX >> length;
            let bits = u64::from(code) << (64 - length) | ones;
            let bytes = bits.to_be_bytes();
            let whole = usize::from(length).div_ceil(8);
            assert_eq!(decoded(&bytes[..whole]), Ok(vec![symbol]), "{symbol}");
        }
    }

    #[test]
    fn padding_is_short_and_of_ones() {
        // `0` is 00000.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
        assert_eq!(decoded(&[0b0000_0110]), Err(Error::Huffman));
        assert_eq!(decoded(&[0b0000_0111, 0xff]), Err(Error::Huffman));
        assert_eq!(decoded(&[0xff]), Err(Error::Huffman));
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }

    #[test]
    fn the_end_of_string_is_no_part_of_one() {
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc]), Err(Error::Huffman));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(Error::Huffman));
    }
}
