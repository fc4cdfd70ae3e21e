//! Where the bytes of a call are, and how they get into an event.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use spanwire_ebpf::NoData;

use crate::{
    emit::this_scratch,
    maps::Scratch,
    memory::{kernel, user},
    registers::{Call, number},
    state::HEAD_CAP,
};

/// Segments of a vectored call that are followed; what lies in later ones counts as left out.
const SEGMENTS: u64 = 8;

/// Where the bytes of a call are.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Source {
    /// Not [`NoData::Nothing`] when there is nothing to read.
    pub(crate) no_data: NoData,
    /// Address of the buffer, or of an array of segments.
    base: u64,
    /// 0 for a plain buffer.
    segments: u64,
    /// Bytes at the start of the buffer or of the first segment that do not belong to the call.
    skip: u64,
    /// The segments' array is in kernel memory.
    kernel_array: bool,
}

/// `struct iovec`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Segment {
    base: u64,
    len: u64,
}

impl Source {
    #[inline(always)]
    pub(crate) const fn none(why: NoData) -> Self {
        Self { no_data: why, base: 0, segments: 0, skip: 0, kernel_array: false }
    }

    #[inline(always)]
    pub(crate) const fn plain(base: u64, skip: u64) -> Self {
        Self { no_data: NoData::Nothing, base, segments: 0, skip, kernel_array: false }
    }

    #[inline(always)]
    pub(crate) const fn vector(base: u64, segments: u64, skip: u64, kernel_array: bool) -> Self {
        Self { no_data: NoData::Nothing, base, segments, skip, kernel_array }
    }

    /// The `struct user_msghdr` at an address.
    #[inline(always)]
    pub(crate) fn message(address: u64) -> Self {
        // msg_iov and msg_iovlen lie behind msg_name and msg_namelen.
        match unsafe { user::<[u64; 2]>(address + 16) } {
            Some([base, segments]) => Self::vector(base, segments, 0, false),
            None => Self::none(NoData::Fault),
        }
    }

    /// The buffers of the system call that runs now.
    #[inline(always)]
    pub(crate) fn of(call: &Call) -> Self {
        if !call.native {
            return Self::none(NoData::ForeignCall);
        }
        match call.number {
            number::READ | number::WRITE | number::SENDTO | number::RECVFROM => {
                Self::plain(call.second, 0)
            }
            number::READV | number::WRITEV | number::PREADV2 | number::PWRITEV2 => {
                Self::vector(call.second, call.third, 0, false)
            }
            number::SENDMSG | number::RECVMSG => Self::message(call.second),
            number::SENDMMSG | number::RECVMMSG => Self::none(NoData::Form),
            number::SENDFILE | number::SPLICE => Self::none(NoData::KernelPages),
            _ => Self::none(NoData::ForeignCall),
        }
    }

    #[inline(always)]
    fn segment(&self, i: u64) -> Option<Segment> {
        let address = self.base + i * size_of::<Segment>() as u64;
        if self.kernel_array { Some(unsafe { kernel(address) }) } else { unsafe { user(address) } }
    }
}

/// Copies up to `want` bytes from the start of the scratch event's source into its payload; how many came.
///
/// Global, as [`copy_tail`] is, and so verified by itself; it finds everything in the scratch event, because global
/// functions of older kernels take no pointers.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn copy_head(want: u32) -> u32 {
    let Some(scratch) = this_scratch() else { return 0 };
    let source = unsafe { &(*scratch).source };
    if source.segments == 0 {
        return read(scratch, 0, source.base + source.skip, u64::from(want));
    }
    let mut filled = 0;
    let mut skip = source.skip;
    let mut i = 0;
    while i < SEGMENTS {
        if i >= source.segments || filled >= want {
            break;
        }
        let Some(segment) = source.segment(i) else { break };
        let len = segment.len.saturating_sub(skip);
        let take = if len < u64::from(want - filled) { len } else { u64::from(want - filled) };
        if take > 0 {
            let got = read(scratch, filled, segment.base + skip, take);
            if got == 0 {
                break;
            }
            filled += got;
        }
        skip = 0;
        i += 1;
    }
    filled
}

/// Copies the last 64 bytes of a call that moved `len` bytes, more than 64, behind `at` bytes of payload; how many came: all
/// or none. A vectored call must end within the segments that are followed.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn copy_tail(at: u32, len: u32) -> u32 {
    const TAIL: u64 = 64;
    let Some(scratch) = this_scratch() else { return 0 };
    let source = unsafe { &(*scratch).source };
    let len = u64::from(len);
    let from = len - TAIL;
    if source.segments == 0 {
        return read(scratch, at, source.base + source.skip + from, TAIL);
    }
    // How many bytes of the call lie before the segment, and how many of the tail have come.
    let mut before = 0;
    let mut filled = 0;
    let mut skip = source.skip;
    let mut i = 0;
    while i < SEGMENTS {
        if i >= source.segments || filled >= TAIL {
            break;
        }
        let Some(segment) = source.segment(i) else { return 0 };
        let holds = segment.len.saturating_sub(skip);
        let end = before + holds;
        if end > from + filled {
            let start = from + filled - before;
            let take = if end < len { end - (from + filled) } else { TAIL - filled };
            if read(scratch, at + filled as u32, segment.base + skip + start, take) == 0 {
                return 0;
            }
            filled += take;
        }
        before = end;
        skip = 0;
        i += 1;
    }
    if filled >= TAIL { TAIL as u32 } else { 0 }
}

#[inline(always)]
pub(crate) fn payload(scratch: *mut Scratch) -> *mut u8 {
    unsafe { (&raw mut (*scratch).payload).cast() }
}

/// Reads `len` bytes of user memory to `at`; `len`, or 0 when they cannot be read. Both are at most [`HEAD_CAP`].
#[inline(always)]
fn read(scratch: *mut Scratch, at: u32, address: u64, len: u64) -> u32 {
    let payload = payload(scratch);
    // The bounds are spelt out where the verifier can see them, and hidden from the compiler, which knows them and
    // would leave them out.
    let mut at = core::hint::black_box(u64::from(at));
    let mut len = core::hint::black_box(len);
    if at > u64::from(HEAD_CAP) {
        at = u64::from(HEAD_CAP);
    }
    if len > u64::from(HEAD_CAP) {
        len = u64::from(HEAD_CAP);
    }
    let failed = unsafe {
        bpf_probe_read_user(payload.add(at as usize).cast(), len as u32, address as *const c_void)
    };
    if failed == 0 { len as u32 } else { 0 }
}
