//! The arguments of the system call that the current task is in, from its saved user registers.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_task_pt_regs};
use spanwire_ebpf::{Offset, Struct, config_flag};

use crate::{
    config::has,
    memory::{Probed, Reach, Typed, cast, kernel},
};

/// A system call's number and its first four arguments.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) first: u64,
    pub(crate) second: u64,
    pub(crate) third: u64,
    pub(crate) fourth: u64,
    /// Not a 32-bit call, whose numbers and registers differ.
    pub(crate) native: bool,
}

#[cfg(not(bpf_target_arch = "aarch64"))]
mod layout {
    //! `struct pt_regs` of x86-64 (arch/x86/include/asm/ptrace.h), a stable part of the user ABI.
    pub(super) const SIZE: u64 = 168;
    pub(super) const STACK: u64 = 16 * 1024;
    pub(super) const NUMBER: usize = 120;
    pub(super) const FIRST: usize = 112;
    pub(super) const SECOND: usize = 104;
    pub(super) const THIRD: usize = 96;
    pub(super) const FOURTH: usize = 56;
    const CS: usize = 136;
    const SS: usize = 160;
    /// `__USER_CS`: the code segment of 64-bit user code.
    const USER_CS: u64 = 0x33;
    /// `__USER_DS`: its stack segment.
    const USER_DS: u64 = 0x2b;

    #[inline(always)]
    pub(super) fn native(read: impl Fn(usize) -> u64) -> bool {
        read(CS) & 0xffff == USER_CS
    }

    /// Whether these can only be the registers of 64-bit user code. Where its stack pointer lies in their place, two words
    /// further, it is no address that small.
    #[inline(always)]
    pub(super) fn surely(read: impl Fn(usize) -> u64) -> bool {
        read(CS) == USER_CS && read(SS) == USER_DS
    }
}

#[cfg(bpf_target_arch = "aarch64")]
mod layout {
    //! `struct pt_regs` of arm64 (arch/arm64/include/asm/ptrace.h): 31 registers, sp, pc, pstate, orig_x0, syscallno.
    pub(super) const SIZE: u64 = 336;
    pub(super) const STACK: u64 = 16 * 1024;
    pub(super) const NUMBER: usize = 280;
    pub(super) const FIRST: usize = 272;
    pub(super) const SECOND: usize = 8;
    pub(super) const THIRD: usize = 16;
    pub(super) const FOURTH: usize = 24;
    const PSTATE: usize = 264;
    /// `PSR_MODE32_BIT`.
    const MODE32: u64 = 0x10;

    #[inline(always)]
    pub(super) fn native(read: impl Fn(usize) -> u64) -> bool {
        read(PSTATE) & MODE32 == 0
    }

    /// Nothing tells.
    #[inline(always)]
    pub(super) fn surely(_: impl Fn(usize) -> u64) -> bool {
        false
    }
}

impl Call {
    /// Where registers lie on the stack, if they do. They do not where the kernel leaves room behind them (for FRED, since
    /// 6.9) or has larger stacks: the helper knows where. Only where [`memory::cast`](crate::memory::cast) may be used.
    #[inline(always)]
    pub(crate) fn cast(task: *const c_void) -> Self {
        unsafe {
            let stack: u64 = Typed::member(task, Offset::TaskStack);
            let registers = cast(stack + layout::STACK - layout::SIZE, Struct::PtRegs).cast::<u8>();
            let word = |at| core::ptr::read_volatile(registers.add(at).cast::<u64>());
            if layout::surely(word) {
                Self::read(word)
            } else {
                core::hint::cold_path();
                Self::typed(task)
            }
        }
    }

    /// By typed pointers: 5.15 and later, in `tp_btf` programs.
    #[inline(always)]
    pub(crate) fn typed(task: *const c_void) -> Self {
        unsafe {
            let registers = bpf_task_pt_regs(task.cast_mut().cast()) as *const u8;
            Self::read(|at| core::ptr::read_volatile(registers.add(at).cast::<u64>()))
        }
    }

    /// In any program, on any kernel.
    #[inline(always)]
    pub(crate) fn probed() -> Self {
        if has(config_flag::TASK_PT_REGS) {
            return Self::typed(unsafe { Typed::task() });
        }
        Self::on_stack()
    }

    /// The same in programs that have no helper for it.
    #[inline(always)]
    pub(crate) fn on_stack() -> Self {
        unsafe {
            let task = bpf_get_current_task() as *const c_void;
            let stack: u64 = Probed::member(task, Offset::TaskStack);
            let registers = stack + layout::STACK - layout::SIZE;
            Self::read(|at| kernel(registers + at as u64))
        }
    }

    /// Whether it is one of those that send a request's first byte.
    #[inline(always)]
    pub(crate) fn sends(&self) -> bool {
        self.native
            && matches!(
                self.number,
                number::WRITE
                    | number::WRITEV
                    | number::PWRITEV2
                    | number::SENDTO
                    | number::SENDMSG
            )
    }

    #[inline(always)]
    fn read(word: impl Fn(usize) -> u64) -> Self {
        Self {
            // The number is an int on arm64; the upper half is padding.
            number: word(layout::NUMBER) & 0xffff_ffff,
            first: word(layout::FIRST),
            second: word(layout::SECOND),
            third: word(layout::THIRD),
            fourth: word(layout::FOURTH),
            native: layout::native(&word),
        }
    }
}

/// The current task as `bpf_get_current_pid_tgid` names it, for programs that do not have that helper.
#[inline(always)]
pub(crate) fn task() -> u64 {
    unsafe { name::<Probed>(bpf_get_current_task() as *const c_void) }
}

/// A task as `bpf_get_current_pid_tgid` names it when that runs.
#[inline(always)]
pub(crate) unsafe fn name<R: Reach>(task: *const c_void) -> u64 {
    unsafe {
        let tgid: u32 = R::member(task, Offset::TaskTgid);
        let pid: u32 = R::member(task, Offset::TaskPid);
        u64::from(tgid) << 32 | u64::from(pid)
    }
}

/// System call numbers (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
#[cfg(not(bpf_target_arch = "aarch64"))]
pub(crate) mod number {
    pub(crate) const READ: u64 = 0;
    pub(crate) const WRITE: u64 = 1;
    pub(crate) const READV: u64 = 19;
    pub(crate) const WRITEV: u64 = 20;
    pub(crate) const SENDFILE: u64 = 40;
    pub(crate) const SENDTO: u64 = 44;
    pub(crate) const RECVFROM: u64 = 45;
    pub(crate) const SENDMSG: u64 = 46;
    pub(crate) const RECVMSG: u64 = 47;
    pub(crate) const SPLICE: u64 = 275;
    pub(crate) const RECVMMSG: u64 = 299;
    pub(crate) const SENDMMSG: u64 = 307;
    pub(crate) const PREADV2: u64 = 327;
    pub(crate) const PWRITEV2: u64 = 328;
}

#[cfg(bpf_target_arch = "aarch64")]
pub(crate) mod number {
    pub(crate) const READ: u64 = 63;
    pub(crate) const WRITE: u64 = 64;
    pub(crate) const READV: u64 = 65;
    pub(crate) const WRITEV: u64 = 66;
    pub(crate) const SENDFILE: u64 = 71;
    pub(crate) const SPLICE: u64 = 76;
    pub(crate) const SENDTO: u64 = 206;
    pub(crate) const RECVFROM: u64 = 207;
    pub(crate) const SENDMSG: u64 = 211;
    pub(crate) const RECVMSG: u64 = 212;
    pub(crate) const RECVMMSG: u64 = 243;
    pub(crate) const SENDMMSG: u64 = 269;
    pub(crate) const PREADV2: u64 = 286;
    pub(crate) const PWRITEV2: u64 = 287;
}
