//! Telling user space of connections.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_probe_read_kernel,
};
use spanwire_ebpf::{Closed, ControlKind, Family, Offset, Opened, TcpState, tcp_state};

use crate::{
    config, emit,
    memory::{Probed, Reach},
    socket,
    state::State,
};

/// Announces a connection whose directions stand at `sent` and `received`.
#[inline(always)]
pub(crate) fn opened(sock: u64, state: *mut State, sent: u64, received: u64) {
    unsafe {
        let born = (*state).born != 0 && (*state).silent == 0;
        let Some(scratch) = emit::this_scratch() else { return };
        (&raw mut (*scratch).sock).write_volatile(sock);
        let connected = (*state).connecting;
        if announce((*state).generation, sent, received, u64::from(born), connected) != 0 {
            (*state).announced = 1;
            ended((*state).generation);
        }
    }
}

/// Tells of an end that came before the announcement, and so was told to nobody: where a call is seen when it returns, the peer
/// may have reset the connection meanwhile, and the process may keep the socket for long. The scratch event says which.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ended(connection: u64) -> u64 {
    unsafe {
        let Some(scratch) = emit::this_scratch() else { return 0 };
        let base = (&raw const (*scratch).sock).read_volatile() as *const c_void;
        let family: u16 = Probed::member(base, Offset::SkFamily);
        if family == Family::Unix as u16 || !config::exists(Offset::SkState) {
            return 0;
        }
        let state: u8 = Probed::member(base, Offset::SkState);
        if u32::from(state) == tcp_state::CLOSE {
            let error: i32 = Probed::member(base, Offset::SkErr);
            state_changed(connection, tcp_state::ESTABLISHED, tcp_state::CLOSE, error);
        }
        0
    }
}

/// Tells that TCP has changed the state of a connection that user space knows.
#[inline(always)]
pub(crate) fn state_changed(connection: u64, old: u32, new: u32, error: i32) {
    let event = TcpState {
        header: emit::header(ControlKind::TcpState),
        connection,
        old,
        new,
        error: error as u32,
        reserved: 0,
    };
    emit::control(&event, false);
}

/// Writes the announcement of the scratch event's socket; 0 when there was no room. Rare, so it reads by address whatever
/// the hook.
///
/// Global, and so verified by itself, and straight into the ring: built on the stack the event would take half of it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn announce(
    connection: u64,
    sent: u64,
    received: u64,
    born: u64,
    connected_in: u64,
) -> u64 {
    unsafe {
        let Some(scratch) = emit::this_scratch() else { return 0 };
        let sock = (&raw const (*scratch).sock).read_volatile();
        let Some(event) = emit::reserve::<Opened>() else { return 0 };
        let base = sock as *const c_void;
        let family: u16 = Probed::member(base, Offset::SkFamily);
        (*event).header = emit::header(ControlKind::Opened);
        (*event).connection = connection;
        (*event).socket = sock;
        (*event).sent = sent;
        (*event).received = received;
        (*event).family = family;
        (*event).tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
        (*event).born = born as u8;
        if family == Family::Unix as u16 {
            let peer: u64 = Probed::member(base, Offset::UnixPeer);
            (*event).peer_socket = peer;
            // An accepted socket has its listener's name; a client has none, and its peer has.
            if !name(base, event) && peer != 0 {
                (*event).path_is_remote = 1;
                name(peer as *const c_void, event);
            }
        } else {
            (*event).local_port = Probed::member(base, Offset::SkNum);
            (*event).remote_port = u16::from_be(Probed::member(base, Offset::SkDport));
            if family == Family::Inet as u16 {
                let local = (&raw mut (*event).local_address).cast::<[u8; 4]>();
                let remote = (&raw mut (*event).remote_address).cast::<[u8; 4]>();
                *local = Probed::member(base, Offset::SkRcvSaddr);
                *remote = Probed::member(base, Offset::SkDaddr);
            } else {
                (*event).local_address = Probed::member(base, Offset::SkV6RcvSaddr);
                (*event).remote_address = Probed::member(base, Offset::SkV6Daddr);
            }
            let [sent, received] = socket::origins::<Probed>(base);
            (*event).sent_origin = sent;
            (*event).received_origin = received;
            (*event).connected_in = connected_in as u32;
        }
        (*event).netns = socket::network_namespace(sock);
        let socket: *const c_void = Probed::member(base, Offset::SkSocket);
        let file: *const c_void = Probed::member(socket, Offset::SocketFile);
        let inode: *const c_void = Probed::member(file, Offset::FileInode);
        (*event).inode = Probed::member(inode, Offset::InodeNumber);
        let task = bpf_get_current_task() as *const c_void;
        let parent: *const c_void = Probed::member(task, Offset::TaskRealParent);
        (*event).parent = Probed::member(parent, Offset::TaskTgid);
        emit::submit(event);
        1
    }
}

/// Copies the name a unix socket is bound to; whether it has one.
#[inline(always)]
unsafe fn name(sock: *const c_void, event: *mut Opened) -> bool {
    /// `offsetof(struct sockaddr_un, sun_path)`
    const PATH: usize = 2;
    const ROOM: usize = 108;
    unsafe {
        let address: *const c_void = Probed::member(sock, Offset::UnixAddr);
        if address.is_null() {
            return false;
        }
        let len: i32 = Probed::member(address, Offset::UnixAddrLen);
        let len = len as usize;
        if len <= PATH || len - PATH > ROOM {
            return false;
        }
        (*event).path_len = (len - PATH) as u8;
        let from = address.cast::<u8>().add(config::offset(Offset::UnixAddrName) + PATH);
        // Always all of it: what lies behind the name belongs to the same allocation or reads as nothing.
        bpf_probe_read_kernel((&raw mut (*event).path).cast(), ROOM as u32, from.cast());
        true
    }
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
