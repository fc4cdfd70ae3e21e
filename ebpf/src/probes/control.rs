//! Telling user space of connections.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel,
};
use spanwire_ebpf::{Closed, ControlKind, Family, Offset, Opened};

use crate::{
    config, emit,
    memory::{Probed, Reach},
    state::State,
};

/// Announces a connection whose directions stand at `next`. Rare, so it reads by address whatever the hook.
#[inline(never)]
pub(crate) fn opened(sock: u64, state: *mut State, sent: u64, received: u64) {
    unsafe {
        let base = sock as *const c_void;
        let family: u16 = Probed::member(base, Offset::SkFamily);
        let mut event = Opened {
            header: emit::header(ControlKind::Opened),
            connection: (*state).generation,
            socket: sock,
            sent,
            received,
            family,
            tgid: (bpf_get_current_pid_tgid() >> 32) as u32,
            born: u8::from((*state).born != 0 && (*state).silent == 0),
            ..Opened::default()
        };
        if family == Family::Unix as u16 {
            event.peer_socket = Probed::member(base, Offset::UnixPeer);
            // An accepted socket has its listener's name; a client has none, and its peer has.
            if !name(base, &mut event) && event.peer_socket != 0 {
                event.path_is_remote = 1;
                name(event.peer_socket as *const c_void, &mut event);
            }
        } else {
            event.local_port = Probed::member(base, Offset::SkNum);
            event.remote_port = u16::from_be(Probed::member(base, Offset::SkDport));
            if family == Family::Inet as u16 {
                let local: [u8; 4] = Probed::member(base, Offset::SkRcvSaddr);
                let remote: [u8; 4] = Probed::member(base, Offset::SkDaddr);
                event.local_address = widen(local);
                event.remote_address = widen(remote);
            } else {
                event.local_address = Probed::member(base, Offset::SkV6RcvSaddr);
                event.remote_address = Probed::member(base, Offset::SkV6Daddr);
            }
        }
        let net: *const c_void = Probed::member(base, Offset::SkNet);
        event.netns = Probed::member(net, Offset::NetInum);
        let socket: *const c_void = Probed::member(base, Offset::SkSocket);
        let file: *const c_void = Probed::member(socket, Offset::SocketFile);
        let inode: *const c_void = Probed::member(file, Offset::FileInode);
        event.inode = Probed::member(inode, Offset::InodeNumber);
        let task = bpf_get_current_task() as *const c_void;
        let parent: *const c_void = Probed::member(task, Offset::TaskRealParent);
        event.parent = Probed::member(parent, Offset::TaskTgid);
        if emit::control(&event, false) {
            (*state).announced = 1;
        }
    }
}

/// Copies the name a unix socket is bound to; whether it has one.
#[inline(always)]
unsafe fn name(sock: *const c_void, event: &mut Opened) -> bool {
    /// `offsetof(struct sockaddr_un, sun_path)`
    const PATH: usize = 2;
    unsafe {
        let address: *const c_void = Probed::member(sock, Offset::UnixAddr);
        if address.is_null() {
            return false;
        }
        let len: i32 = Probed::member(address, Offset::UnixAddrLen);
        let len = len as usize;
        if len <= PATH || len - PATH > event.path.len() {
            return false;
        }
        event.path_len = (len - PATH) as u8;
        let from = address.cast::<u8>().add(config::offset(Offset::UnixAddrName) + PATH);
        // Always all of it: what lies behind the name belongs to the same allocation or reads as nothing.
        bpf_probe_read_kernel((&raw mut event.path).cast(), event.path.len() as u32, from.cast());
        true
    }
}

#[inline(always)]
fn widen(v4: [u8; 4]) -> [u8; 16] {
    [v4[0], v4[1], v4[2], v4[3], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Tells that the kernel has destroyed a connection that user space knows.
#[inline(always)]
pub(crate) fn closed(state: *const State) {
    unsafe {
        if (*state).announced != 0 {
            let event = Closed {
                header: emit::header(ControlKind::Closed),
                connection: (*state).generation,
            };
            emit::control(&event, false);
        }
    }
}
