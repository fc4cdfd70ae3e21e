//! One packet's headers: whose segment it is.
#![forbid(unsafe_code)]

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// What the packets of an interface begin with, as far as it is known here (the registry of link types, tcpdump.org).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// 1: Ethernet, with VLAN tags or without.
    Ethernet,
    /// 0, 108: a word that names the address family (BSD loopback), here told by the packet itself.
    Loopback,
    /// 12, 14, 101, 228, 229: IP.
    Ip,
    /// 113: Linux "cooked" capture, as of the interface `any`.
    Cooked,
    /// 276: its second form.
    Cooked2,
    /// Some other.
    Unknown,
}

impl Link {
    /// By its number.
    pub(super) const fn of(number: i32) -> Self {
        match number {
            1 => Self::Ethernet,
            0 | 108 => Self::Loopback,
            12 | 14 | 101 | 228 | 229 => Self::Ip,
            113 => Self::Cooked,
            276 => Self::Cooked2,
            _ => Self::Unknown,
        }
    }
}

/// A TCP segment (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// To whom.
    pub(super) to: SocketAddr,
    /// Sequence number.
    pub(super) sequence: u32,
    /// Acknowledgement number; means something with `ack` only.
    pub(super) acknowledged: u32,
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    /// Bytes of payload on the wire.
    pub(super) len: u32,
    /// Those that were captured, from the beginning.
    pub(super) bytes: &'a [u8],
}

/// What a packet is.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// TCP.
    Segment(Segment<'a>),
    /// A part of an IP packet.
    Fragment,
    /// Cut in its headers, or with headers that contradict themselves.
    Malformed,
    /// Nothing of ours.
    Other,
}

/// Reads the headers of one packet.
pub(super) fn parse(link: Link, packet: &[u8]) -> Parsed<'_> {
    let sliced = match link {
        Link::Ethernet => LaxSlicedPacket::from_ethernet(packet).ok(),
        Link::Loopback => packet.get(4..).and_then(|ip| LaxSlicedPacket::from_ip(ip).ok()),
        Link::Ip => LaxSlicedPacket::from_ip(packet).ok(),
        Link::Cooked => behind(packet, 14, 16),
        Link::Cooked2 => behind(packet, 0, 20),
        Link::Unknown => return Parsed::Other,
    };
    let Some(sliced) = sliced else { return Parsed::Malformed };
    let (from, to, missing, fragmented) = match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let declared = usize::from(header.total_len()).saturating_sub(header.slice().len());
            (
                IpAddr::V4(header.source_addr()),
                IpAddr::V4(header.destination_addr()),
                declared.saturating_sub(ip.payload().payload.len()),
                ip.payload().fragmented,
            )
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let here = ip.extensions().slice().len() + ip.payload().payload.len();
            (
                IpAddr::V6(header.source_addr()),
                IpAddr::V6(header.destination_addr()),
                usize::from(header.payload_length()).saturating_sub(here),
                ip.payload().fragmented,
            )
        }
        _ if sliced.stop_err.is_some() => return Parsed::Malformed,
        _ => return Parsed::Other,
    };
    if fragmented {
        return Parsed::Fragment;
    }
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let bytes = tcp.payload();
            Parsed::Segment(Segment {
                from: SocketAddr::new(from, tcp.source_port()),
                to: SocketAddr::new(to, tcp.destination_port()),
                sequence: tcp.sequence_number(),
                acknowledged: tcp.acknowledgment_number(),
                syn: tcp.syn(),
                ack: tcp.ack(),
                fin: tcp.fin(),
                rst: tcp.rst(),
                len: u32::try_from(bytes.len() + missing).unwrap_or(u32::MAX),
                bytes,
            })
        }
        None if sliced.stop_err.is_some() => Parsed::Malformed,
        _ => Parsed::Other,
    }
}

/// The packet behind a cooked header of `len` bytes, which has the kind of what follows at `kind`.
fn behind(packet: &[u8], kind: usize, len: usize) -> Option<LaxSlicedPacket<'_>> {
    let kind = packet.get(kind..)?.first_chunk()?;
    let kind = EtherType(u16::from_be_bytes(*kind));
    Some(LaxSlicedPacket::from_ether_type(kind, packet.get(len..)?))
}
