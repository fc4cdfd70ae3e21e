//! Ids of spans and traces as pure functions, so that kernel and user space name the same request alike without
//! sending the name around.

/// Secret of one run of the agent: what makes its ids unlike those of any other run or host.
pub type Seed = [u64; 2];

/// Span id of the request whose first byte is at `position` of `connection`. Never zero (W3C Trace Context §3.2.2.4).
#[must_use]
#[inline(always)]
pub const fn span(seed: Seed, connection: u64, position: u64) -> u64 {
    let id = mix(mix(seed[0] ^ connection) ^ position);
    if id == 0 { 1 } else { id }
}

/// Name of the request of stream `number` of a connection of HTTP/2, for whoever does not know where it begins. It is no span
/// id: what has read the connection knows which one it stands for.
#[must_use]
#[inline(always)]
pub const fn stream(seed: Seed, connection: u64, number: u32) -> u64 {
    /// No position has this bit.
    const STREAM: u64 = 1 << 63;
    span(seed, connection, STREAM | number as u64)
}

/// Trace id for a trace that begins with span `span`: high and low half. Its low 56 bits are as random as the seed,
/// which is what the W3C Level 2 random flag asks for. Never zero.
#[must_use]
#[inline(always)]
pub const fn trace(seed: Seed, span: u64) -> [u64; 2] {
    let high = mix(seed[1] ^ span);
    let low = mix(high ^ seed[0]);
    [high, if low == 0 { 1 } else { low }]
}

/// What tells an agent from others on the wire. Nothing of its ids can be computed from it.
#[must_use]
#[inline(always)]
pub const fn agent(seed: Seed) -> u32 {
    mix(mix(seed[0]) ^ seed[1]) as u32
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection in which every input bit moves every output bit.
#[inline(always)]
const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn neighbouring_requests_have_unlike_ids() {
        let seed = [7, 11];
        let mut seen = HashSet::new();
        for connection in 0..64 {
            for position in 0..64 {
                let span = span(seed, connection, position);
                assert_ne!(span, 0);
                assert!(seen.insert(span));
                assert_ne!(trace(seed, span), [0, 0]);
            }
        }
    }

    #[test]
    fn streams_are_named_apart_from_positions() {
        assert_ne!(stream([7, 11], 3, 5), span([7, 11], 3, 5));
        assert_ne!(stream([7, 11], 3, 5), stream([7, 11], 3, 7));
        assert_ne!(stream([7, 11], 3, 5), stream([7, 11], 4, 5));
    }

    #[test]
    fn another_seed_is_another_world() {
        assert_ne!(span([1, 2], 5, 9), span([2, 2], 5, 9));
        assert_ne!(trace([1, 2], 5), trace([1, 3], 5));
    }

    #[test]
    fn the_functions_are_pinned() {
        // Kernel and user space of one build always agree; a recording must also replay alike in later builds.
        assert_eq!(span([1, 2], 3, 4), 16_092_610_645_815_098_345);
    }
}
