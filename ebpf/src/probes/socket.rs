//! Facts about a `struct sock`.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_skc_to_tcp_sock};
use spanwire_ebpf::{Direction, Family, Offset, Struct, data_flag};

use crate::{
    config::{exists, offset},
    memory::{Probed, Reach, Typed, cast, kernel, word_at},
    registers::Call,
};

/// What sort of stream a socket is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Tcp,
    Unix,
}

const SOCK_STREAM: u16 = 1;
const IPPROTO_TCP: u16 = 6;
/// `S_IFMT`, `S_IFSOCK`.
const FILE_TYPE: u16 = 0xf000;
const SOCKET_FILE: u16 = 0xc000;
/// `O_NONBLOCK`, the same on x86-64 and arm64.
const NON_BLOCKING: u32 = 0x800;

/// The stream a socket is, if it is one that is captured.
#[inline(always)]
pub(crate) unsafe fn stream<R: Reach>(sock: *const c_void) -> Option<Stream> {
    unsafe {
        let family: u16 = R::member(sock, Offset::SkFamily);
        let stream = if family == Family::Inet as u16 || family == Family::Inet6 as u16 {
            let protocol: u16 = R::member(sock, Offset::SkProtocol);
            if protocol != IPPROTO_TCP {
                return None;
            }
            Stream::Tcp
        } else if family == Family::Unix as u16 {
            Stream::Unix
        } else {
            return None;
        };
        // Raw packets of TCP can be had, too.
        let kind: u16 = R::member(sock, Offset::SkType);
        if kind == SOCK_STREAM { Some(stream) } else { None }
    }
}

/// Whether nothing more can be received: what tells an end of stream from a read of no bytes.
#[inline(always)]
pub(crate) unsafe fn peer_ended<R: Reach>(sock: *const c_void) -> bool {
    /// `RCV_SHUTDOWN`
    const RECEIVE: u8 = 1;
    let shutdown: u8 = unsafe { R::member(sock, Offset::SkShutdown) };
    shutdown & RECEIVE != 0
}

/// The TCP sequence number after the last byte that was sent or read, of a socket that is a [`Stream::Tcp`]. Only where [`cast`]
/// may be used.
#[inline(always)]
pub(crate) unsafe fn sequence_cast(sock: *const c_void, direction: Direction) -> u32 {
    unsafe { sequence::<Typed>(cast(sock as u64, Struct::TcpSock), direction) }
}

/// The same through typed pointers on any kernel; `None` if it is no such socket.
#[inline(always)]
pub(crate) unsafe fn sequence_typed(sock: *const c_void, direction: Direction) -> Option<u32> {
    unsafe {
        let tcp = bpf_skc_to_tcp_sock(sock.cast_mut()) as *const c_void;
        if tcp.is_null() { None } else { Some(sequence::<Typed>(tcp, direction)) }
    }
}

/// The same by address.
#[inline(always)]
pub(crate) unsafe fn sequence_probed(sock: u64, direction: Direction) -> u32 {
    unsafe { sequence::<Probed>(sock as *const c_void, direction) }
}

#[inline(always)]
unsafe fn sequence<R: Reach>(tcp: *const c_void, direction: Direction) -> u32 {
    /// `SOCK_DONE`, set when the peer's FIN arrives.
    const DONE: u64 = 1 << 1;
    unsafe {
        if direction == Direction::Sent {
            return R::member(tcp, Offset::TcpWriteSeq);
        }
        let read: u32 = R::member(tcp, Offset::TcpCopiedSeq);
        let flags: u64 = R::member(tcp, Offset::SkFlags);
        if flags & DONE != 0 {
            // Reading up to the FIN moves the socket over it, and a FIN counts as one byte of sequence that is no byte of
            // the stream (RFC 9293 §3.4). Nothing can arrive behind it.
            let arrived: u32 = R::member(tcp, Offset::TcpRcvNxt);
            if read == arrived {
                return read.wrapping_sub(1);
            }
        }
        read
    }
}

/// The sequence numbers of the first bytes that were ever sent and received, 0 where they cannot be told.
///
/// The kernel does not keep them, but counts what was acknowledged and what came since. A connection that we opened counts its
/// SYN as acknowledged, so the first of the two is then the SYN's own number, one less.
#[inline(always)]
pub(crate) unsafe fn origins<R: Reach>(tcp: *const c_void) -> [u32; 2] {
    unsafe {
        let ends = |offset| -> u32 { R::member(tcp, offset) };
        let count = |offset| -> u64 { R::member(tcp, offset) };
        let (acked, arrived) = (ends(Offset::TcpSndUna), ends(Offset::TcpRcvNxt));
        let sent = acked.wrapping_sub(count(Offset::TcpBytesAcked) as u32);
        let received = arrived.wrapping_sub(count(Offset::TcpBytesReceived) as u32);
        // A packet may come in between two of these reads.
        let same = |offset, before| -> bool { ends(offset) == before };
        [
            if same(Offset::TcpSndUna, acked) { sent } else { 0 },
            if same(Offset::TcpRcvNxt, arrived) { received } else { 0 },
        ]
    }
}

/// Whether the running system call was made on this socket: its descriptor names the socket's file. Kernel threads,
/// `io_uring` completions and the like run inside calls that have nothing to do with the socket. Only where [`cast`] may be used.
#[inline(always)]
pub(crate) unsafe fn called_on(sock: *const c_void, task: *const c_void, call: &Call) -> bool {
    unsafe {
        let socket: *const c_void = Typed::member(sock, Offset::SkSocket);
        if socket.is_null() {
            return false;
        }
        let file: u64 = Typed::member(socket, Offset::SocketFile);
        if exists(Offset::TaskIoUring) {
            // io_uring could complete on the very descriptor that the call names.
            let ring: u64 = Typed::member(task, Offset::TaskIoUring);
            if ring != 0 {
                return false;
            }
        }
        let files: *const c_void = Typed::member(task, Offset::TaskFiles);
        if files.is_null() {
            return false;
        }
        let table: *const c_void = Typed::member(files, Offset::FilesFdt);
        if table.is_null() {
            return false;
        }
        let limit: u32 = Typed::member(table, Offset::FdtMaxFds);
        if call.first >= u64::from(limit) {
            return false;
        }
        let array: u64 = Typed::member(table, Offset::FdtFd);
        file != 0 && word_at(array + 8 * call.first) == file
    }
}

/// The socket behind a descriptor of the current task, and its file's inode number; `None` if it is no socket.
#[inline(always)]
pub(crate) unsafe fn behind(descriptor: u64) -> Option<(u64, u64)> {
    unsafe {
        let task = bpf_get_current_task() as *const c_void;
        let files: *const c_void = Probed::member(task, Offset::TaskFiles);
        let table: *const c_void = Probed::member(files, Offset::FilesFdt);
        let limit: u32 = Probed::member(table, Offset::FdtMaxFds);
        if descriptor >= u64::from(limit) {
            return None;
        }
        let array: u64 = Probed::member(table, Offset::FdtFd);
        let file = kernel::<u64>(array + 8 * descriptor) as *const c_void;
        if file.is_null() {
            return None;
        }
        let inode: *const c_void = Probed::member(file, Offset::FileInode);
        let mode: u16 = Probed::member(inode, Offset::InodeMode);
        if mode & FILE_TYPE != SOCKET_FILE {
            return None;
        }
        let socket: *const c_void = Probed::member(file, Offset::FilePrivateData);
        let sock: u64 = Probed::member(socket, Offset::SocketSk);
        if sock == 0 { None } else { Some((sock, Probed::member(inode, Offset::InodeNumber))) }
    }
}

/// The number of the network namespace a socket belongs to.
#[inline(always)]
pub(crate) unsafe fn network_namespace(sock: u64) -> u32 {
    unsafe {
        let net: *const c_void = Probed::member(sock as *const c_void, Offset::SkNet);
        Probed::member(net, Offset::NetInum)
    }
}

/// The same through a typed pointer.
#[inline(always)]
pub(crate) unsafe fn network_namespace_typed(sock: *const c_void) -> u32 {
    unsafe {
        let net: *const c_void = Typed::member(sock, Offset::SkNet);
        Typed::member(net, Offset::NetInum)
    }
}

/// How a thread that reads this socket waits for it, by the flags of an event: alone if it is in blocking mode and in no epoll
/// set, as it is where one thread serves one request; 0 if it is in one, or nothing is known.
#[inline(always)]
pub(crate) unsafe fn thread_waits<R: Reach>(sock: *const c_void) -> u16 {
    unsafe {
        let socket: *const c_void = R::member(sock, Offset::SkSocket);
        if socket.is_null() {
            return 0;
        }
        let file: *const c_void = R::member(socket, Offset::SocketFile);
        if file.is_null() {
            return 0;
        }
        let in_no_set = if exists(Offset::FileEp) {
            let set: u64 = R::member(file, Offset::FileEp);
            set == 0
        } else if exists(Offset::FileEpLinks) {
            // Before 5.11 a list head: empty when it points to itself.
            let next: u64 = R::member(file, Offset::FileEpLinks);
            next == file as u64 + offset(Offset::FileEpLinks) as u64
        } else {
            false
        };
        if !in_no_set {
            return 0;
        }
        let flags: u32 = R::member(file, Offset::FileFlags);
        if flags & NON_BLOCKING == 0 { data_flag::THREAD_WAITS } else { data_flag::THREAD_POLLS }
    }
}
