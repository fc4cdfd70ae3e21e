//! Where the bytes of a call are, and how they get into an event.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use spanwire_ebpf::{MAX_PAYLOAD, NoData};

use crate::{
    emit::this_scratch,
    maps::Scratch,
    memory::{kernel, user},
    registers::{Call, number},
    state::HEAD_CAP,
};

/// Segments of a vectored call that are followed in one copy; what lies in later ones cannot be read by it. gRPC's C core
/// sends up to 260 at once, most of them a frame's header or its payload.
const SEGMENTS: u64 = 64;

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

    /// Whether all bytes lie in one buffer.
    #[inline(always)]
    pub(crate) const fn is_plain(&self) -> bool {
        self.segments == 0
    }

    #[inline(always)]
    fn segment(&self, i: u64) -> Option<Segment> {
        let address = self.base + i * size_of::<Segment>() as u64;
        if self.kernel_array { Some(unsafe { kernel(address) }) } else { unsafe { user(address) } }
    }
}

/// A copy under way. It lies in the scratch event, not in registers: what the verifier reads from memory it knows nothing
/// of, so it follows each step once and not once per way that led to it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Walk {
    /// The next byte that is wanted, counted from the start of the call.
    next: u64,
    /// How many more are wanted.
    left: u64,
    /// Where in the payload the next one goes.
    at: u64,
    /// The segment it has come to. The next copy of the same call goes on there,
    segment: u64,
    /// and this many bytes of the call lie before that segment.
    before: u64,
}

/// A call begins: its segments are walked from the first on.
#[inline(always)]
pub(crate) fn begin(scratch: *mut Scratch) {
    unsafe {
        let walk = &raw mut (*scratch).walk;
        (&raw mut (*walk).segment).write_volatile(0);
        (&raw mut (*walk).before).write_volatile(0);
    }
}

/// Copies `want` bytes of the scratch event's source, from its `from`th on, to `at` in the payload; how many came.
///
/// Global, and so verified by itself; it finds everything in the scratch event, because global functions of older
/// kernels take no pointers.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn copy(at: u64, from: u64, want: u64) -> u64 {
    let Some(scratch) = this_scratch() else { return 0 };
    copy_inline(scratch, at, from, want)
}

/// The same, for functions that are verified by themselves already.
#[inline(always)]
pub(crate) fn copy_inline(scratch: *mut Scratch, at: u64, from: u64, want: u64) -> u64 {
    unsafe {
        if (*scratch).source.segments == 0 {
            return read(scratch, at, (*scratch).source.base + (*scratch).source.skip + from, want);
        }
        let walk = &raw mut (*scratch).walk;
        if from < (&raw const (*walk).before).read_volatile() {
            begin(scratch);
        }
        (&raw mut (*walk).next).write_volatile(from);
        (&raw mut (*walk).left).write_volatile(want);
        (&raw mut (*walk).at).write_volatile(at);
        let mut i = 0;
        while i < SEGMENTS {
            if copy_segment() == 0 {
                break;
            }
            i += 1;
        }
        want.wrapping_sub((&raw const (*walk).left).read_volatile())
    }
}

/// Takes what is wanted of the source's segment that the walk has come to; 0 when that is all, or all that can be had.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn copy_segment() -> u64 {
    let Some(scratch) = this_scratch() else { return 0 };
    unsafe {
        let source = &(*scratch).source;
        let walk = &mut (*scratch).walk;
        let i = walk.segment;
        if i >= source.segments {
            return 0;
        }
        let Some(segment) = source.segment(i) else { return 0 };
        let skip = if i == 0 { source.skip } else { 0 };
        let end = walk.before + segment.len.saturating_sub(skip);
        if end > walk.next {
            let here = end - walk.next;
            let take = if here < walk.left { here } else { walk.left };
            let address = segment.base + skip + (walk.next - walk.before);
            if read(scratch, walk.at, address, take) == 0 {
                return 0;
            }
            walk.next += take;
            walk.at += take;
            walk.left -= take;
            if walk.left == 0 {
                // The next copy may begin in what is left of this one.
                return 0;
            }
        }
        walk.before = end;
        walk.segment = i + 1;
        1
    }
}

#[inline(always)]
pub(crate) fn payload(scratch: *mut Scratch) -> *mut u8 {
    unsafe { (&raw mut (*scratch).payload).cast() }
}

/// Reads `len` bytes of user memory to `at`; `len`, or 0 when they cannot be read. A read begins within the payload, and is
/// no longer than [`HEAD_CAP`].
#[inline(always)]
fn read(scratch: *mut Scratch, at: u64, address: u64, len: u64) -> u64 {
    let payload = payload(scratch);
    // The bounds are spelt out where the verifier can see them, and hidden from the compiler, which knows them and
    // would leave them out.
    let mut at = core::hint::black_box(at);
    let mut len = core::hint::black_box(len);
    if at > MAX_PAYLOAD as u64 {
        at = MAX_PAYLOAD as u64;
    }
    if len > u64::from(HEAD_CAP) {
        len = u64::from(HEAD_CAP);
    }
    let failed = unsafe {
        bpf_probe_read_user(payload.add(at as usize).cast(), len as u32, address as *const c_void)
    };
    if failed == 0 { len } else { 0 }
}
