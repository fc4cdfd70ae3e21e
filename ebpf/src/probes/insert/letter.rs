//! A message that is looked at before it is sent: what was found out of it, and what is put into it.

use core::hint::black_box;

use spanwire_ebpf::{
    ControlKind,
    insert::{self, Inserted, NO_FRAME, block, head::Head},
};

use super::frames::Frames;
use crate::{emit, wire};

/// Room for what is put in, in whole words.
pub(super) const TEXT: usize = 128;
const _: () = assert!(insert::LEN <= TEXT && block::LEN <= TEXT);

/// What is found out of a message; it lies in the scratch event.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Letter {
    pub(super) head: Head,
    pub(super) frames: Frames,
    /// Length of the request; 0 while that is not known.
    pub(super) total: u64,
    /// Bytes that were put in.
    pub(super) inserted: u64,
    /// Not zero if the call is to fail.
    pub(super) drop: u64,
    /// Position of the message,
    pub(super) position: u64,
    /// and its length as it came.
    pub(super) size: u64,
    /// What is put in.
    pub(super) text: [u64; TEXT / 8],
}

impl Letter {
    /// Nothing is found out yet of a message of that size, and nothing put in.
    #[inline(always)]
    pub(super) unsafe fn begin(this: *mut Self, position: u64, size: u32) {
        unsafe {
            (&raw mut (*this).total).write_volatile(0);
            (&raw mut (*this).inserted).write_volatile(0);
            (&raw mut (*this).drop).write_volatile(0);
            (&raw mut (*this).position).write_volatile(position);
            (&raw mut (*this).size).write_volatile(u64::from(size));
        }
    }

    /// Where the text is.
    #[inline(always)]
    pub(super) unsafe fn text(this: *mut Self) -> *mut u8 {
        unsafe { (&raw mut (*this).text).cast() }
    }
}

/// Writes a context there in the text, as the value of a field has it (W3C Trace Context §3.2). Global, and so verified by
/// itself; so is what follows.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn insert_value(at: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let (trace, span, sampled) = wire::sent_context(scratch);
    let put = |place: u64, byte: u8| {
        // Its bound where the verifier sees it.
        let place = black_box(at + place) & (TEXT as u64 - 1);
        unsafe {
            Letter::text(&raw mut (*scratch).letter).add(place as usize).write_volatile(byte);
        }
    };
    put(0, b'0');
    put(1, b'0');
    put(2, b'-');
    put(35, b'-');
    put(52, b'-');
    put(53, b'0');
    put(54, if sampled { b'1' } else { b'0' });
    insert_hex(at + 3, trace[0]);
    insert_hex(at + 19, trace[1]);
    insert_hex(at + 36, span);
    0
}

/// Writes sixteen digits there.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn insert_hex(at: u64, value: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    let mut value = value;
    let mut i = 0;
    while i < 16 {
        let digit = (value >> 60) as u8;
        let digit = if digit < 10 { b'0' + digit } else { b'a' - 10 + digit };
        // Its bound where the verifier sees it.
        let place = black_box(at + i) & (TEXT as u64 - 1);
        unsafe {
            Letter::text(&raw mut (*scratch).letter).add(place as usize).write_volatile(digit);
        }
        value <<= 4;
        i += 1;
    }
    0
}

/// Tells user space of what was put into the message behind `at` of its own bytes: `len` bytes, which belong to the frame that begins at
/// `frame`, if to any ([`NO_FRAME`]). Global, and straight into the ring.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn insert_tell(at: u64, len: u64, frame: u64, length: u64) -> u64 {
    let Some(scratch) = emit::this_scratch() else { return 0 };
    unsafe {
        let Some(event) = emit::reserve::<Inserted>() else { return 0 };
        let letter = &raw const (*scratch).letter;
        (*event).header = emit::header(ControlKind::Inserted);
        let (connection, _) = wire::sent_where(scratch);
        (*event).connection = connection;
        (*event).position = (&raw const (*letter).position).read_volatile();
        (*event).size = (&raw const (*letter).size).read_volatile() as u32;
        (*event).at = at as u32;
        (*event).len = len as u32;
        (*event).frame = frame as u32;
        (*event).length = length as u32;
        (*event).reserved = 0;
        emit::submit(event);
    }
    0
}

/// Tells user space that the message at that position was not sent, and what was put into it neither. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn insert_again(connection: u64, position: u64) -> u64 {
    unsafe {
        let Some(event) = emit::reserve::<Inserted>() else { return 0 };
        (*event).header = emit::header(ControlKind::Inserted);
        (*event).connection = connection;
        (*event).position = position;
        (*event).size = 0;
        (*event).at = 0;
        (*event).len = 0;
        (*event).frame = NO_FRAME;
        (*event).length = 0;
        (*event).reserved = 0;
        emit::submit(event);
    }
    1
}

/// See [`insert_tell`].
pub(super) const OF_NO_FRAME: u64 = NO_FRAME as u64;
