//! One input as bytes, and back.
//!
//! Decoding takes any bytes: it checks lengths before it allocates, and never panics.

use abi::{
    CallerFound, Closed, DataHeader, MAX_PAYLOAD, Opened, ProcessEvent, Retransmitted, Revoked,
    StreamCall, TaskEnded, TcpState, Worker,
    insert::{Boundary, Inserted},
    wire::Carried,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::input::{ConnId, Input, Nanos};

/// Bytes before a payload.
pub(super) const HEAD: usize = 8;
/// Longest facts about a process as JSON: arguments are at most 6 MiB (`execve(2)`, three quarters of the stack
/// limit's 8 MiB), and JSON may lengthen them.
const LONGEST_FACTS: usize = 16 << 20;
/// Most sockets in one sweep: twice the default of connections a host tracks.
const MOST_GONE: usize = 512 << 10;

/// What a payload is. Numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Opened = 1,
    Closed = 2,
    TcpState = 3,
    Exec = 4,
    Exit = 5,
    Revoked = 6,
    Data = 7,
    Process = 8,
    UnixGone = 9,
    Lost = 10,
    Tick = 11,
    Retransmitted = 12,
    Carried = 13,
    Inserted = 14,
    Boundary = 15,
    Worker = 16,
    TasksEnded = 17,
    StreamCall = 18,
    TaskEnded = 19,
    CallerFound = 20,
}

impl Kind {
    const ALL: [Self; 20] = [
        Self::Opened,
        Self::Closed,
        Self::TcpState,
        Self::Exec,
        Self::Exit,
        Self::Revoked,
        Self::Data,
        Self::Process,
        Self::UnixGone,
        Self::Lost,
        Self::Tick,
        Self::Retransmitted,
        Self::Carried,
        Self::Inserted,
        Self::Boundary,
        Self::Worker,
        Self::TasksEnded,
        Self::StreamCall,
        Self::TaskEnded,
        Self::CallerFound,
    ];

    /// Least and greatest length of its payload.
    const fn lengths(self) -> (usize, usize) {
        const fn exactly(n: usize) -> (usize, usize) {
            (n, n)
        }
        match self {
            Self::Opened => exactly(size_of::<Opened>()),
            Self::Closed => exactly(size_of::<Closed>()),
            Self::TcpState => exactly(size_of::<TcpState>()),
            Self::Exec | Self::Exit => exactly(size_of::<ProcessEvent>()),
            Self::Revoked => exactly(size_of::<Revoked>()),
            Self::Retransmitted => exactly(size_of::<Retransmitted>()),
            Self::Carried => exactly(size_of::<Carried>()),
            Self::Inserted => exactly(size_of::<Inserted>()),
            Self::Boundary => exactly(size_of::<Boundary>()),
            Self::Data => (size_of::<DataHeader>(), size_of::<DataHeader>() + MAX_PAYLOAD),
            Self::Process => (2, LONGEST_FACTS),
            Self::Worker => exactly(size_of::<Worker>()),
            Self::StreamCall => exactly(size_of::<StreamCall>()),
            Self::CallerFound => exactly(size_of::<CallerFound>()),
            Self::TaskEnded => exactly(size_of::<TaskEnded>()),
            Self::UnixGone | Self::TasksEnded => (0, MOST_GONE * 8),
            Self::Lost | Self::Tick => exactly(16),
        }
    }
}

/// Where the payload bytes of a data event begin in its frame.
pub(super) const DATA_BYTES: usize = HEAD + size_of::<DataHeader>();

/// Why an input cannot be written: it is not one the kernel or the agent makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unwritable;

/// Replaces what is in `frame` by the frame of `input`.
pub(super) fn encode(input: &Input, frame: &mut Vec<u8>) -> Result<(), Unwritable> {
    frame.clear();
    frame.extend_from_slice(&[0; HEAD]);
    let kind = match input {
        Input::Opened(event) => raw(frame, Kind::Opened, event),
        Input::Closed(event) => raw(frame, Kind::Closed, event),
        Input::TcpState(event) => raw(frame, Kind::TcpState, event),
        Input::Exec(event) => raw(frame, Kind::Exec, event),
        Input::Exit(event) => raw(frame, Kind::Exit, event),
        Input::Revoked(event) => raw(frame, Kind::Revoked, event),
        Input::Worker(event) => raw(frame, Kind::Worker, event),
        Input::StreamCall(event) => raw(frame, Kind::StreamCall, event),
        Input::CallerFound(event) => raw(frame, Kind::CallerFound, event),
        Input::TaskEnded(event) => raw(frame, Kind::TaskEnded, event),
        Input::Retransmitted(event) => raw(frame, Kind::Retransmitted, event),
        Input::Carried(event) => raw(frame, Kind::Carried, event),
        Input::Inserted(event) => raw(frame, Kind::Inserted, event),
        Input::Boundary(event) => raw(frame, Kind::Boundary, event),
        Input::Data(header, bytes) => {
            if !fits(header, bytes.len()) {
                return Err(Unwritable);
            }
            frame.extend_from_slice(header.as_bytes());
            frame.extend_from_slice(bytes);
            Kind::Data
        }
        Input::Process(facts) => {
            serde_json::to_writer(&mut *frame, facts).map_err(|_| Unwritable)?;
            Kind::Process
        }
        Input::UnixGone(gone) => {
            for ConnId(id) in gone {
                frame.extend_from_slice(&id.to_le_bytes());
            }
            Kind::UnixGone
        }
        Input::TasksEnded(tasks) => {
            for task in tasks {
                frame.extend_from_slice(&task.to_le_bytes());
            }
            Kind::TasksEnded
        }
        Input::Lost { data, control } => {
            frame.extend_from_slice(&data.to_le_bytes());
            frame.extend_from_slice(&control.to_le_bytes());
            Kind::Lost
        }
        Input::Tick { now, wall_offset } => {
            frame.extend_from_slice(&now.0.to_le_bytes());
            frame.extend_from_slice(&wall_offset.to_le_bytes());
            Kind::Tick
        }
    };
    let length = frame.len() - HEAD;
    if length > kind.lengths().1 {
        return Err(Unwritable);
    }
    let length = u32::try_from(length).map_err(|_| Unwritable)?;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4] = kind as u8;
    Ok(())
}

fn raw<T: IntoBytes + Immutable>(frame: &mut Vec<u8>, kind: Kind, event: &T) -> Kind {
    frame.extend_from_slice(event.as_bytes());
    kind
}

/// A frame's head that has been checked: its payload has a possible length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    kind: Kind,
    /// Length of the payload, bytes.
    pub(super) length: u32,
}

/// Checks a frame's head.
pub(super) fn announced(head: [u8; HEAD]) -> Result<Announced, &'static str> {
    let [l0, l1, l2, l3, kind, zeros @ ..] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let kind = Kind::ALL.into_iter().find(|k| *k as u8 == kind).ok_or("a frame of unknown kind")?;
    if zeros != [0; 3] {
        return Err("a frame head with bytes that must be zero");
    }
    let (least, most) = kind.lengths();
    if !(least..=most).contains(&(length as usize)) {
        return Err("a frame of impossible length");
    }
    Ok(Announced { kind, length })
}

/// The input of a payload whose head was checked.
pub(super) fn decode(announced: Announced, payload: &[u8]) -> Result<Input, &'static str> {
    const SHORT: &str = "a payload of the wrong length";
    fn event<T: FromBytes + KnownLayout + Immutable>(payload: &[u8]) -> Result<T, &'static str> {
        T::read_from_bytes(payload).map_err(|_| SHORT)
    }
    Ok(match announced.kind {
        Kind::Opened => Input::Opened(event(payload)?),
        Kind::Closed => Input::Closed(event(payload)?),
        Kind::TcpState => Input::TcpState(event(payload)?),
        Kind::Exec => Input::Exec(event(payload)?),
        Kind::Exit => Input::Exit(event(payload)?),
        Kind::Revoked => Input::Revoked(event(payload)?),
        Kind::Worker => Input::Worker(event(payload)?),
        Kind::StreamCall => Input::StreamCall(event(payload)?),
        Kind::CallerFound => Input::CallerFound(event(payload)?),
        Kind::TaskEnded => Input::TaskEnded(event(payload)?),
        Kind::Retransmitted => Input::Retransmitted(event(payload)?),
        Kind::Carried => Input::Carried(event(payload)?),
        Kind::Inserted => Input::Inserted(event(payload)?),
        Kind::Boundary => Input::Boundary(event(payload)?),
        Kind::Data => {
            let (header, bytes) = DataHeader::read_from_prefix(payload).map_err(|_| SHORT)?;
            if !fits(&header, bytes.len()) {
                return Err("a data event whose bytes are not as many as it says");
            }
            Input::Data(header, bytes.into())
        }
        Kind::Process => Input::Process(
            serde_json::from_slice(payload)
                .map_err(|_| "facts about a process that are not JSON")?,
        ),
        Kind::UnixGone => {
            let (ids, rest) = payload.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(SHORT);
            }
            Input::UnixGone(ids.iter().map(|id| ConnId(u64::from_le_bytes(*id))).collect())
        }
        Kind::TasksEnded => {
            let (tasks, rest) = payload.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(SHORT);
            }
            Input::TasksEnded(tasks.iter().map(|task| u64::from_le_bytes(*task)).collect())
        }
        Kind::Lost => {
            let (data, control) = pair(payload).ok_or(SHORT)?;
            Input::Lost { data: u64::from_le_bytes(data), control: u64::from_le_bytes(control) }
        }
        Kind::Tick => {
            let (now, offset) = pair(payload).ok_or(SHORT)?;
            let now = Nanos(u64::from_le_bytes(now));
            Input::Tick { now, wall_offset: i64::from_le_bytes(offset) }
        }
    })
}

fn pair(payload: &[u8]) -> Option<([u8; 8], [u8; 8])> {
    let (first, second) = payload.split_first_chunk()?;
    Some((*first, second.try_into().ok()?))
}

/// A data event carries exactly `head + tail` bytes, and no more than the kernel copies.
fn fits(header: &DataHeader, bytes: usize) -> bool {
    u64::from(header.head) + u64::from(header.tail) == bytes as u64 && bytes <= MAX_PAYLOAD
}
