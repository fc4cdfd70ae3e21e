//! The hook at the entry of the calls that send (set `syscall`): where nothing else tells of a request before its bytes are
//! queued, and its context has to go with them (D6.3). It reports nothing; what was sent is seen at the return.

use aya_ebpf::{
    helpers::generated::bpf_get_current_pid_tgid, macros::tracepoint, programs::TracePointContext,
};
use spanwire_ebpf::{Direction, Offset, config_flag};

use super::syscall::meet_sender;
use crate::{
    bytes::Source,
    config, emit,
    memory::{Probed, Reach},
    preemption,
    registers::Call,
    socket::{self, Stream},
    wire::{self, MANY, Sending},
};

/// `sys_enter_{write,writev,pwritev2,sendto,sendmsg}`
#[tracepoint]
pub(crate) fn enter_call(_context: TracePointContext) -> u32 {
    if config::has(config_flag::WIRE) && wire::is_awake() {
        preemption::whole(|| {
            if enter() != 0 {
                wire::make_context();
            }
        });
    }
    0
}

/// Whether a request may begin: then the scratch event is ours, and holds what is known. Global, and so verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn enter() -> u64 {
    let call = Call::probed();
    let source = Source::of(&call);
    unsafe {
        let Some((sock, inode)) = socket::behind(call.first) else { return 0 };
        let base = sock as *const core::ffi::c_void;
        if !matches!(socket::stream::<Probed>(base), Some(Stream::Tcp)) {
            return 0;
        }
        let Some(state) = meet_sender(sock, inode) else { return 0 };
        let sequence = socket::sequence_probed(sock, Direction::Sent);
        let cookie: u64 = Probed::member(base, Offset::SkCookie);
        let len = if source.is_plain() { call.third } else { MANY };
        let Some(scratch) = emit::scratch() else { return 0 };
        let task = bpf_get_current_pid_tgid();
        let sending = Sending { sock, cookie, task, sequence, source, len };
        if wire::about_to_send(state, scratch, &sending) {
            return 1;
        }
        emit::release(scratch);
    }
    0
}
