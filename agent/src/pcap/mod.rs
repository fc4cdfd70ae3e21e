//! Packet captures as input of the pipeline: what tcpdump and Wireshark wrote, told as the kernel would have told it.
//!
//! ```text
//! file      packets of pcap and pcapng, with their times and link types
//!    │
//! packet    link, VLAN, IP and TCP headers: a segment, or nothing of ours
//!    │
//! flow      connections: the sequence number extended to 64 bits is the position; each byte once, in order
//!    │
//! Input     the same that the probes make
//! ```
//!
//! A capture shows the wire between two hosts and neither of them. Of each connection one end is told, the server's, so
//! that each request is one span, of kind SERVER, on a service that is called by the server's address and port: whose
//! process it was cannot be known. Who is the server is told by the handshake, else by what the first bytes say, else by
//! the lower port.
//!
//! Everything here is bytes of strangers: errors, never panics; bounded; what is left out is counted.
#![forbid(unsafe_code)]

mod file;
mod flow;
mod flows;
mod packet;
mod servers;
#[cfg(test)]
mod tests;
mod way;

use std::collections::VecDeque;
use std::io::Read;

use abi::id::Seed;

use crate::input::{Input, Nanos};
use crate::status::{Counters, Meaning};
use file::Packets;
use flows::Flows;
use packet::Parsed;

pub use file::{PcapError, is_capture};

/// Time between two ticks, ns of the capture's time.
const TICK: u64 = 10_000_000;

/// A capture's inputs, in order. Ends after the first error.
pub struct Capture {
    packets: Packets,
    flows: Flows,
    ready: VecDeque<Input>,
    /// The time of the newest packet: captures of several interfaces go back by a little.
    now: Nanos,
    /// When the last tick was.
    ticked: Nanos,
    seen: Seen,
    over: bool,
}

/// What was in it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    packets: u64,
    /// Not TCP over IP, or on a link that is not known.
    others: u64,
    /// Parts of IP packets, which are not put together.
    fragments: u64,
    /// Packets whose headers cannot be read.
    malformed: u64,
    /// Bytes that were on the wire and are not in the file (the capture's snapshot length).
    cut: u64,
}

impl Capture {
    /// Reads from the beginning of a capture.
    ///
    /// # Errors
    /// It cannot be read, or is no capture.
    pub fn new(from: impl Read + Send + 'static) -> Result<Self, PcapError> {
        Ok(Self {
            packets: Packets::new(from)?,
            flows: Flows::default(),
            ready: VecDeque::new(),
            now: Nanos(0),
            ticked: Nanos(0),
            seen: Seen::default(),
            over: false,
        })
    }

    /// Seed of the ids: the same for the same capture, another for another one.
    #[must_use]
    pub const fn seed(&self) -> Seed {
        self.packets.seed()
    }

    /// Whether the file ends in the middle of a packet, as when the tool that wrote it was killed.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.packets.is_truncated()
    }

    /// Adds what was in it.
    pub fn count_into(&self, counters: &mut Counters) {
        let Seen { packets, others, fragments, malformed, cut } = self.seen;
        let flows = self.flows.seen();
        for (name, meaning, value) in [
            ("packets", Meaning::Event, packets),
            ("packets_not_tcp", Meaning::Event, others),
            ("connections", Meaning::Event, flows.connections),
            ("segments_retransmitted", Meaning::Event, flows.retransmitted),
            ("packets_fragmented", Meaning::Loss, fragments),
            ("packets_malformed", Meaning::Loss, malformed + flows.malformed),
            ("bytes_not_captured", Meaning::Loss, cut),
            ("connections_evicted", Meaning::Loss, flows.evicted),
        ] {
            counters.add("pcap", name, meaning, value);
        }
    }

    /// Takes one more packet.
    fn advance(&mut self) -> Result<(), PcapError> {
        let Some(packet) = self.packets.next()? else {
            self.over = true;
            self.flows.finish(self.now, &mut self.ready);
            self.ready.push_back(Input::Tick { now: self.now, wall_offset: 0 });
            return Ok(());
        };
        self.seen.packets += 1;
        self.now = self.now.max(packet.at);
        if self.ticked == Nanos(0) || self.now.since(self.ticked) >= TICK {
            self.ticked = self.now;
            // A capture's times are wall-clock times.
            self.ready.push_back(Input::Tick { now: self.now, wall_offset: 0 });
        }
        match packet::parse(packet.link, packet.bytes) {
            Parsed::Segment(segment) => {
                self.seen.cut += u64::from(segment.len).saturating_sub(segment.bytes.len() as u64);
                self.flows.segment(&segment, self.now, &mut self.ready);
            }
            Parsed::Fragment => self.seen.fragments += 1,
            Parsed::Malformed => self.seen.malformed += 1,
            Parsed::Other => self.seen.others += 1,
        }
        Ok(())
    }
}

impl Iterator for Capture {
    type Item = Result<Input, PcapError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(input) = self.ready.pop_front() {
                return Some(Ok(input));
            }
            if self.over {
                return None;
            }
            if let Err(error) = self.advance() {
                self.over = true;
                return Some(Err(error));
            }
        }
    }
}
