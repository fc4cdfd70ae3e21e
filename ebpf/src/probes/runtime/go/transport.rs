//! Clients of `net/http`, HTTP/1: requests are written by a goroutine that belongs to the connection (`writeLoop`). Whoever
//! wants one written waits in a channel for how it went, and the channel says who that is.

use spanwire_ebpf::runtime::GoProcess;

use super::goroutine::word;
use crate::registers::Call;

/// Offset of `runtime.g.stack.hi`: `g` begins with its stack, on which compiled code relies.
const STACK_HI: u64 = 8;
/// Above a frame: the return address, and behind it the place of the receiver.
const RETURN: u64 = 8;
const RECEIVER: u64 = 16;
/// Data of an interface value.
const DATA: u64 = 8;

/// Where the frame of the first function is that a goroutine's wrapper calls; 0 if it does not return into that wrapper.
#[inline(always)]
pub(super) unsafe fn frame_below(g: u64, distance: u64, returns: u64) -> u64 {
    let frame = word(g.wrapping_add(STACK_HI)).wrapping_sub(distance);
    if word(frame.wrapping_add(RETURN)) == returns { frame } else { 0 }
}

/// The receiver of the method whose frame that is.
#[inline(always)]
pub(super) fn receiver(frame: u64) -> u64 {
    word(frame.wrapping_add(RECEIVER))
}

/// The frame of `writeLoop` on the stack of its goroutine `g`; 0 if it is not where it must be: its connection is that of the
/// running call.
#[inline(never)]
pub(super) unsafe fn frame(go: *const GoProcess, g: u64) -> u64 {
    unsafe {
        let frame = frame_below(g, (*go).write_frame, (*go).write_return);
        if frame == 0 {
            return 0;
        }
        let tcp = word(receiver(frame).wrapping_add((*go).persist_conn + DATA));
        let fd = word(tcp);
        let descriptor = word(fd.wrapping_add((*go).fd_sysfd));
        if fd != 0 && descriptor as u32 == Call::probed().first as u32 { frame } else { 0 }
    }
}

/// The goroutine that waits for how the writing goes; 0 if none does now.
#[inline(never)]
pub(super) unsafe fn waiter(go: *const GoProcess, frame: u64) -> u64 {
    unsafe { receiver_of(go, channel(go, frame)) }
}

/// The channel in which is waited for that, and still is when it is known (`roundTrip` asks it again until the answer is there): one that is
/// made for each request.
#[inline(always)]
pub(super) unsafe fn channel(go: *const GoProcess, frame: u64) -> u64 {
    word(frame.wrapping_sub(unsafe { (*go).write_channel }))
}

/// The goroutine that waits for something in that channel (`runtime.hchan`), the first of them; 0 if none does now.
#[inline(always)]
pub(super) unsafe fn receiver_of(go: *const GoProcess, channel: u64) -> u64 {
    unsafe {
        if channel == 0 {
            return 0;
        }
        let waits = word(channel.wrapping_add((*go).chan_recvq));
        if waits == 0 { 0 } else { word(waits.wrapping_add((*go).sudog_g)) }
    }
}
