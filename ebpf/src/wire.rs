//! What stands in the TCP option by which agents tell each other of a request (D6.3), and how user space is told of it.
//!
//! The option is of the kind for experiments (RFC 4727, 253) with an identifier of two bytes (RFC 6994). It is offered in a SYN,
//! answered in the SYN-ACK, and from then on stands beside the first byte of each request.
//!
//! ```text
//! SYN       253  8  "SW"  agent (4 bytes)       an agent asks whether there is another one
//! SYN-ACK   253  4  "sw"                        there is, and it is another one
//! request   253 28  "SW"  trace (16) span (8)   the request is part of a sampled trace
//!           253 28  "sw"  trace (16) span (8)   and here of one that is not sampled
//! ```
//!
//! 28 bytes are all that timestamps leave room for, so that the flag has no byte of its own. An offer that comes back as it
//! was sent is no answer.

#[cfg(feature = "user")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ControlHeader;

/// Kind of the option.
pub const KIND: u8 = 253;
/// Identifier of an offer, and of the context of a trace that is sampled.
pub const SAMPLED: [u8; 2] = *b"SW";
/// Identifier of an answer, and of the context of one that is not.
pub const NOT_SAMPLED: [u8; 2] = *b"sw";
/// Bytes of an offer.
pub const OFFER: usize = 8;
/// Bytes of an answer.
pub const ANSWER: usize = 4;
/// Bytes of a context.
pub const CONTEXT: usize = 28;

/// A request begins whose context came by the wire, or was handed to the kernel to go by it. Told before the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(FromBytes, IntoBytes, Immutable, KnownLayout))]
#[repr(C)]
pub struct Carried {
    /// Time and kind.
    pub header: ControlHeader,
    /// Generation number, see [`crate::DataHeader::connection`].
    pub connection: u64,
    /// Position of the request's first byte.
    pub position: u64,
    /// Trace id, high and low half.
    pub trace: [u64; 2],
    /// The client's span id.
    pub span: u64,
    /// 1 if the trace is sampled.
    pub sampled: u32,
    /// A [`crate::Direction`]: sent or received.
    pub direction: u32,
}

/// Whether a trace of that id is sampled: its random bits are not below the threshold (W3C Trace Context Level 2, §3.2.2.5.2).
#[must_use]
#[inline(always)]
pub const fn is_sampled(trace: [u64; 2], threshold: u64) -> bool {
    trace[1] & 0x00ff_ffff_ffff_ffff >= threshold
}

/// How far an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Scope {
    /// This host, or nowhere.
    Host = 0,
    /// The networks of one owner.
    Private = 1,
    /// The internet.
    Public = 2,
}

/// The scope of an IPv4 address, highest byte first: private use (RFC 1918), shared between a provider and its customers
/// (RFC 6598), link-local (RFC 3927).
#[must_use]
#[inline(always)]
pub const fn scope_v4(address: u32) -> Scope {
    if address >> 24 == 127 || address == 0 {
        return Scope::Host;
    }
    let private = address >> 24 == 10
        || address >> 20 == 0xac1
        || address >> 16 == 0xc0a8
        || address >> 22 == 0x191
        || address >> 16 == 0xa9fe;
    if private { Scope::Private } else { Scope::Public }
}

/// The scope of an IPv6 address by its first four bytes, highest first, and whether the other twelve are zero but for at most
/// the last bit: unique local (RFC 4193), link-local (RFC 4291 §2.5.6).
#[must_use]
#[inline(always)]
pub const fn scope_v6(first: u32, rest_is_least: bool) -> Scope {
    if first == 0 && rest_is_least {
        return Scope::Host;
    }
    let private = first >> 25 == 0x7e || first >> 22 == 0x3fa;
    if private { Scope::Private } else { Scope::Public }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn of(address: &str) -> Scope {
        if let Ok(v4) = address.parse::<Ipv4Addr>() {
            return scope_v4(v4.to_bits());
        }
        let bits = address.parse::<Ipv6Addr>().unwrap().to_bits();
        scope_v6((bits >> 96) as u32, bits << 32 >> 32 <= 1)
    }

    #[test]
    fn addresses_have_their_scopes() {
        for host in ["127.0.0.1", "127.255.1.1", "0.0.0.0", "::1", "::"] {
            assert_eq!(of(host), Scope::Host, "{host}");
        }
        #[rustfmt::skip]
        let private = [
            "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.3.4", "100.64.0.1", "100.127.255.255",
            "169.254.1.1", "fc00::1", "fdff::1", "fe80::1", "febf::1",
        ];
        for private in private {
            assert_eq!(of(private), Scope::Private, "{private}");
        }
        #[rustfmt::skip]
        let public = [
            "9.255.255.255", "11.0.0.1", "172.15.0.1", "172.32.0.1", "192.167.0.1", "192.169.0.1", "100.63.0.1", "100.128.0.1",
            "169.253.1.1", "8.8.8.8", "2001:db8::1", "fb00::1", "fe00::1", "fec0::1", "::2", "1::",
        ];
        for public in public {
            assert_eq!(of(public), Scope::Public, "{public}");
        }
    }

    #[test]
    fn sampling_goes_by_the_random_bits() {
        assert!(is_sampled([0, 0], 0));
        assert!(is_sampled([0, 1 << 55], 1 << 55));
        assert!(!is_sampled([u64::MAX, 0xff << 56 | ((1 << 55) - 1)], 1 << 55));
        assert!(!is_sampled([0, u64::MAX], 1 << 56));
    }
}
