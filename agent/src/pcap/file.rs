//! The two file formats: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), by `pcap-parser`.
#![forbid(unsafe_code)]

use std::fmt::Debug;
use std::io::{self, Cursor, Read};

use abi::id::Seed;
use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{Block, PcapBlockOwned, PcapError as ParseError, create_reader};

use super::packet::Link;
use crate::input::Nanos;

/// Bytes read at a time, and of the file's beginning that its seed is made from.
const CHUNK: usize = 64 * 1024;
/// Longest block. A packet has 256 KiB at most (tcpdump's own limit), and capture files hold secrets of some MiB.
const BLOCK_MAX: usize = 16 << 20;
/// Interfaces of one section.
const INTERFACES: usize = 4096;
/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;

/// First bytes of a pcap file, in both byte orders: with microseconds, with nanoseconds.
const PCAP: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
/// Block type of a pcapng section header, the same in both byte orders.
const PCAPNG: u32 = 0x0a0d_0d0a;

/// Why a capture cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is no packet capture (pcap or pcapng)")]
    NotACapture,
    /// What no tool writes is there.
    #[error("the capture is corrupt after {packets} packets: {why}")]
    Corrupt {
        /// Packets read before.
        packets: u64,
        /// What was found.
        why: String,
    },
}

/// Whether a file that begins with these bytes is a capture.
#[must_use]
pub fn is_capture(first: [u8; 4]) -> bool {
    let word = u32::from_be_bytes(first);
    word == PCAPNG || PCAP.iter().any(|magic| [*magic, magic.swap_bytes()].contains(&word))
}

/// A packet of a capture.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    /// When it was captured, ns of wall-clock time; zero when it does not say.
    pub(super) at: Nanos,
    /// How it begins.
    pub(super) link: Link,
    pub(super) bytes: &'a [u8],
}

/// The packets of a capture.
pub(super) struct Packets {
    blocks: Box<dyn PcapReaderIterator + Send>,
    seed: Seed,
    interfaces: Vec<Interface>,
    /// Bytes of the packet that was read last.
    packet: Vec<u8>,
    /// Of the reader's buffer.
    capacity: usize,
    read: u64,
    /// The file ends in the middle of a packet, as when the tool that wrote it was killed.
    truncated: bool,
}

/// Where packets were captured.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: Link,
    /// Ticks of its clock in a second.
    ticks: u64,
    /// Seconds to be added.
    offset: i64,
}

impl Interface {
    /// A time of its clock as ns since 1970; zero for what no clock shows.
    fn time(&self, ticks: u64) -> Nanos {
        let parts = u128::from(ticks) * u128::from(SECOND) / u128::from(self.ticks.max(1));
        let nanos =
            i128::from(self.offset) * i128::from(SECOND) + i128::try_from(parts).unwrap_or(0);
        Nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

impl Packets {
    /// Begins to read.
    pub(super) fn new(mut from: impl Read + Send + 'static) -> Result<Self, PcapError> {
        let mut first = Vec::new();
        from.by_ref().take(CHUNK as u64).read_to_end(&mut first)?;
        let magic = first.first_chunk().copied().unwrap_or_default();
        if !is_capture(magic) {
            return Err(PcapError::NotACapture);
        }
        let seed = seed(&first);
        let whole = Cursor::new(first).chain(from);
        let blocks = create_reader(CHUNK, whole).map_err(|error| corrupt(0, &error))?;
        Ok(Self {
            blocks,
            seed,
            interfaces: Vec::new(),
            packet: Vec::new(),
            capacity: CHUNK,
            read: 0,
            truncated: false,
        })
    }

    /// Seed of the ids of this capture.
    pub(super) const fn seed(&self) -> Seed {
        self.seed
    }

    /// Whether the file ended too early.
    pub(super) const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The next packet, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Packet<'_>>, PcapError> {
        loop {
            let step = match self.blocks.next() {
                Ok((len, block)) => {
                    let found = look(&block, &mut self.interfaces, &mut self.packet)
                        .map_err(|why| PcapError::Corrupt { packets: self.read, why });
                    Step::Block(len, found?)
                }
                Err(ParseError::Eof) => return Ok(None),
                Err(ParseError::UnexpectedEof) => {
                    self.truncated = true;
                    return Ok(None);
                }
                Err(ParseError::Incomplete(_)) => Step::Refill,
                Err(ParseError::BufferTooSmall) => Step::Grow,
                Err(error) => return Err(corrupt(self.read, &error)),
            };
            match step {
                Step::Block(len, found) => {
                    self.blocks.consume(len);
                    if let Some((at, link)) = found {
                        self.read += 1;
                        return Ok(Some(Packet { at, link, bytes: &self.packet }));
                    }
                }
                Step::Refill => self.refill()?,
                Step::Grow => {
                    self.capacity *= 2;
                    if self.capacity > BLOCK_MAX || !self.blocks.grow(self.capacity) {
                        let why = format!("a block is longer than {BLOCK_MAX} bytes");
                        return Err(PcapError::Corrupt { packets: self.read, why });
                    }
                    self.refill()?;
                }
            }
        }
    }

    fn refill(&mut self) -> Result<(), PcapError> {
        self.blocks.refill().map_err(|error| corrupt(self.read, &error))
    }
}

/// What to do next.
enum Step {
    /// Go on behind a block of so many bytes, which was a packet or not.
    Block(usize, Option<(Nanos, Link)>),
    Refill,
    Grow,
}

/// Looks at a block: notes an interface, or copies a packet and tells its time and link.
fn look(
    block: &PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
    packet: &mut Vec<u8>,
) -> Result<Option<(Nanos, Link)>, String> {
    let mut copy = |bytes: &[u8]| {
        packet.clear();
        packet.extend_from_slice(bytes);
    };
    let on = |interfaces: &[Interface], number: u32| {
        let found = usize::try_from(number).ok().and_then(|number| interfaces.get(number));
        found
            .copied()
            .ok_or_else(|| format!("a packet of interface {number}, which is not described"))
    };
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let ticks = if header.is_nanosecond_precision() { SECOND } else { 1_000_000 };
            // The upper half says how long the frames' checksums are.
            let link = Link::of(header.network.0 & 0xffff);
            interfaces.push(Interface { link, ticks, offset: 0 });
            Ok(None)
        }
        PcapBlockOwned::Legacy(record) => {
            let interface = on(interfaces, 0)?;
            copy(record.data);
            let seconds = u64::from(record.ts_sec).saturating_mul(interface.ticks);
            let at = interface.time(seconds.saturating_add(u64::from(record.ts_usec)));
            Ok(Some((at, interface.link)))
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            Ok(None)
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(described)) => {
            if interfaces.len() >= INTERFACES {
                return Err(format!("more than {INTERFACES} interfaces"));
            }
            let ticks = described.ts_resolution().ok_or("a clock that is too fine")?;
            let link = Link::of(described.linktype.0);
            interfaces.push(Interface { link, ticks, offset: described.ts_offset() });
            Ok(None)
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(record)) => {
            let interface = on(interfaces, record.if_id)?;
            copy(record.packet_data());
            let ticks = u64::from(record.ts_high) << 32 | u64::from(record.ts_low);
            Ok(Some((interface.time(ticks), interface.link)))
        }
        PcapBlockOwned::NG(Block::SimplePacket(record)) => {
            let interface = on(interfaces, 0)?;
            copy(record.packet_data());
            Ok(Some((Nanos(0), interface.link)))
        }
        // Statistics, names, secrets, other people's.
        PcapBlockOwned::NG(_) => Ok(None),
    }
}

fn corrupt<T: AsRef<[u8]> + Debug>(packets: u64, error: &ParseError<T>) -> PcapError {
    let why = match error {
        ParseError::ReadError => return PcapError::Io(io::Error::other("it cannot be read on")),
        ParseError::HeaderNotRecognized => "its header is none".to_owned(),
        ParseError::Incomplete(_) | ParseError::UnexpectedEof => "it ends in its header".to_owned(),
        // What the parser says besides holds the file's own bytes.
        _ => "a block contradicts itself".to_owned(),
    };
    PcapError::Corrupt { packets, why }
}

/// Two different hashes (FNV-1a) of a file's beginning.
fn seed(first: &[u8]) -> Seed {
    let hash = |basis: u64| {
        first
            .iter()
            .fold(basis, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    };
    [hash(0xcbf2_9ce4_8422_2325), hash(0x9e37_79b9_7f4a_7c15)]
}
