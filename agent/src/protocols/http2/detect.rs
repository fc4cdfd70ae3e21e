//! Does a connection speak HTTP/2, and who is its client?
//!
//! The client's preface and a SETTINGS frame say yes; so does a server that begins with SETTINGS and goes on as one. In
//! the middle of a connection only the head of a request or an answer does, in frames that fit each other: never a
//! single octet or a frame header alone.
#![forbid(unsafe_code)]

use abi::Direction;

use super::Http2;
use super::frame::{FrameHeader, HEADER, flag, kind};
use super::framer::PREFACE;
use super::resume::{Fits, Head, Probe};
use crate::protocols::contract::{Before, Detection};

/// The first octet of a frame is not larger: no frame of 2^20 octets or more is taken for one here.
const FIRST_OCTET_MAX: u8 = 0x10;

/// Whether a direction that begins with `bytes` speaks HTTP/2.
pub(in crate::protocols) fn detect(
    bytes: &[u8],
    direction: Direction,
    before: Before,
) -> Detection {
    // What is found behind a hole may be what a body quotes.
    if before.lost[direction as usize] {
        return Detection::No;
    }
    match begins(bytes) {
        Begins::Client => return found(Http2::born(direction, before)),
        Begins::Perhaps => return Detection::More,
        Begins::Otherwise => {}
    }
    match bytes.first() {
        None => return Detection::More,
        Some(first) if *first > FIRST_OCTET_MAX => return Detection::No,
        Some(_) => {}
    }
    if before.from_birth {
        return server(bytes, direction, before);
    }
    let mut probe = Probe::default();
    match probe.read_first(bytes) {
        Fits::Proven(Some(Head::Request)) => found(Http2::met(direction, direction)),
        Fits::Proven(Some(Head::Answer)) => found(Http2::met(direction.opposite(), direction)),
        // Whole frames without a head are not worth waiting with: the next call will begin with a frame, too, and the
        // other direction may tell sooner.
        Fits::SoFar if probe.is_in_a_head() => Detection::More,
        Fits::Proven(None) | Fits::SoFar | Fits::Not => Detection::No,
    }
}

fn found(reader: Http2) -> Detection {
    Detection::Found(Box::new(reader))
}

/// How a direction begins.
enum Begins {
    /// With the preface and SETTINGS.
    Client,
    /// Perhaps so.
    Perhaps,
    Otherwise,
}

/// The preface is followed by a SETTINGS frame (RFC 9113 §3.4).
fn begins(bytes: &[u8]) -> Begins {
    let Some(rest) = bytes.strip_prefix(PREFACE) else {
        let perhaps = !bytes.is_empty() && PREFACE.starts_with(bytes);
        return if perhaps { Begins::Perhaps } else { Begins::Otherwise };
    };
    match rest.first_chunk::<HEADER>() {
        Some(header) if is_settings(FrameHeader::read(*header)) => Begins::Client,
        Some(_) => Begins::Otherwise,
        None => Begins::Perhaps,
    }
}

/// A server begins with SETTINGS (§3.4), perhaps before it has read the preface. Its next frame is the second fact.
fn server(bytes: &[u8], direction: Direction, before: Before) -> Detection {
    let mut rest = bytes;
    for number in 0..2 {
        let Some((header, after)) = rest.split_first_chunk::<HEADER>() else {
            // The first two octets of a short SETTINGS frame, and its type.
            let perhaps = rest.iter().zip([Some(0), Some(0), None, Some(kind::SETTINGS)]);
            let mut perhaps =
                perhaps.map(|(octet, asked)| asked.is_none_or(|asked| asked == *octet));
            return if number > 0 || perhaps.all(|fits| fits) {
                Detection::More
            } else {
                Detection::No
            };
        };
        let header = FrameHeader::read(*header);
        if !(if number == 0 { is_settings(header) } else { header.is_usual() }) {
            return Detection::No;
        }
        rest = after.get(header.length as usize..).unwrap_or_default();
        if number == 0 && after.len() < header.length as usize {
            return Detection::More;
        }
    }
    found(Http2::born(direction.opposite(), before))
}

/// SETTINGS that are no acknowledgement.
const fn is_settings(header: FrameHeader) -> bool {
    header.kind == kind::SETTINGS && !header.has(flag::ACK) && header.is_usual()
}
