//! Bytes of the rings to pipeline input. Copied out, checked, never cast: a ring's memory is shared with the kernel.
#![forbid(unsafe_code)]

use abi::{
    ControlHeader, ControlKind, DataHeader, Direction, NoData, frame,
    insert::{self, Inserted},
    wire::Carried,
};
use thiserror::Error;
use zerocopy::FromBytes;

use crate::input::Input;

/// An event that no probe of this build writes.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than its kind.
    #[error("an event of {0} bytes is shorter than its kind")]
    Short(usize),
    /// Of no kind.
    #[error("no event has the kind {0}")]
    Kind(u32),
    /// A field out of range.
    #[error("a data event has impossible fields")]
    Fields,
}

/// An event of the control ring.
///
/// # Errors
///
/// [`Malformed`]
pub fn control(bytes: &[u8]) -> Result<Input, Malformed> {
    let header = read::<ControlHeader>(bytes)?;
    let kind = ControlKind::from_abi(header.kind).ok_or(Malformed::Kind(header.kind))?;
    Ok(match kind {
        ControlKind::Opened => Input::Opened(read(bytes)?),
        ControlKind::Closed => Input::Closed(read(bytes)?),
        ControlKind::TcpState => Input::TcpState(read(bytes)?),
        ControlKind::Exec => Input::Exec(read(bytes)?),
        ControlKind::Exit => Input::Exit(read(bytes)?),
        ControlKind::Revoked => Input::Revoked(read(bytes)?),
        ControlKind::Worker => Input::Worker(read(bytes)?),
        ControlKind::StreamCall => Input::StreamCall(read(bytes)?),
        ControlKind::CallerFound => Input::CallerFound(read(bytes)?),
        ControlKind::TaskEnded => Input::TaskEnded(read(bytes)?),
        ControlKind::Retransmitted => Input::Retransmitted(read(bytes)?),
        ControlKind::Carried => Input::Carried(carried(bytes)?),
        ControlKind::Inserted => Input::Inserted(inserted(bytes)?),
        ControlKind::Boundary => Input::Boundary(read(bytes)?),
    })
}

/// An event of the data ring.
///
/// # Errors
///
/// [`Malformed`]
pub fn data(bytes: &[u8]) -> Result<Input, Malformed> {
    let (header, payload) =
        DataHeader::read_from_prefix(bytes).map_err(|_| Malformed::Short(bytes.len()))?;
    let copied = header.head as usize + header.tail as usize;
    // The ring rounds up to eight bytes in older kernels' readers; what lies behind the copied bytes is nothing.
    let payload = payload.get(..copied).ok_or(Malformed::Short(bytes.len()))?;
    if Direction::from_abi(header.direction).is_none()
        || NoData::from_abi(header.no_data).is_none()
        || copied as u64 > u64::from(header.len)
    {
        return Err(Malformed::Fields);
    }
    Ok(Input::Data(header, payload.into()))
}

fn carried(bytes: &[u8]) -> Result<Carried, Malformed> {
    let carried = read::<Carried>(bytes)?;
    // No context is without ids (W3C Trace Context §3.2.2).
    let is_one = carried.trace != [0; 2] && carried.span != 0;
    if is_one { Ok(carried) } else { Err(Malformed::Fields) }
}

fn inserted(bytes: &[u8]) -> Result<Inserted, Malformed> {
    let inserted = read::<Inserted>(bytes)?;
    let Inserted { size, at, len, frame, length, .. } = inserted;
    let is_one = if len == 0 {
        at == 0
    } else if frame == insert::NO_FRAME {
        len as usize == insert::LEN && at as usize <= insert::MOST
    } else {
        let own = at.checked_sub(frame).and_then(|own| own.checked_sub(frame::HEADER as u32));
        len as usize == insert::block::LEN
            && own.and_then(|own| own.checked_add(len)) == Some(length)
    };
    if is_one && at <= size { Ok(inserted) } else { Err(Malformed::Fields) }
}

fn read<T: FromBytes>(bytes: &[u8]) -> Result<T, Malformed> {
    T::read_from_prefix(bytes).map(|(value, _)| value).map_err(|_| Malformed::Short(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    #[test]
    fn what_was_written_is_read() {
        let header = DataHeader { len: 5, head: 3, tail: 1, position: 77, ..DataHeader::default() };
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(b"abcd....");
        assert_eq!(data(&bytes), Ok(Input::Data(header, b"abcd".as_slice().into())));
        assert_eq!(data(&bytes[..66]), Err(Malformed::Short(66)));
        let opened = abi::Opened {
            header: ControlHeader { time: 1, kind: ControlKind::Opened as u32, reserved: 0 },
            connection: 9,
            ..abi::Opened::default()
        };
        assert_eq!(control(opened.as_bytes()), Ok(Input::Opened(opened)));
    }

    #[test]
    fn more_bytes_than_moved_are_refused() {
        let header = DataHeader { len: 1, head: 3, ..DataHeader::default() };
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(b"abc");
        assert_eq!(data(&bytes), Err(Malformed::Fields));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = control(&bytes);
            let _ = data(&bytes);
        }
    }
}
