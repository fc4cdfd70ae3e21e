//! What user space tells the probes before they are loaded: one frozen block of words.

/// The frozen global `CONFIG`. Zero everywhere is valid and traces everything in the oldest way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Config {
    /// See [`crate::id::Seed`].
    pub seed: [u64; 2],
    /// Only connections of the network namespace with this cookie are offered an option; 0 for all.
    pub network_namespace_cookie: u64,
    /// Bits of [`flag`].
    pub flags: u32,
    /// Thread group of the agent, as the initial pid namespace numbers it: its own calls are not events.
    pub own_tgid: u32,
    /// Bytes waiting in the data ring at which the reader is woken before its timer.
    pub wake_at: u32,
    /// Only connections of the network namespace of this number are events; 0 for all.
    pub network_namespace: u32,
    /// Byte offsets into kernel structs, by [`Offset`].
    pub offsets: [u32; OFFSETS],
    /// Numbers of kernel structs in its type information, by [`Struct`].
    pub structs: [u32; STRUCTS],
    /// To a whole number of 64-bit words.
    pub reserved: u32,
}

impl Config {
    /// Nothing known, nothing switched on.
    pub const EMPTY: Self = Self {
        seed: [0; 2],
        network_namespace_cookie: 0,
        flags: 0,
        own_tgid: 0,
        wake_at: 0,
        network_namespace: 0,
        offsets: [0; OFFSETS],
        structs: [0; STRUCTS],
        reserved: 0,
    };
}

/// Bits of [`Config::flags`].
pub mod flag {
    /// `bpf_task_pt_regs` exists (5.15).
    pub const TASK_PT_REGS: u32 = 1;
    /// State of connections is kept by socket address, not in socket storage.
    pub const BY_ADDRESS: u32 = 2;
    /// Contexts of requests are made and found in the kernel, because they may go by the wire.
    pub const WIRE: u32 = 4;
    /// They may to public addresses, too.
    pub const WIRE_ANYWHERE: u32 = 8;
    /// No hook tells of what is sent before it is: contexts are made as segments are.
    pub const WIRE_LATE: u32 = 32;
    /// Contexts may be put into requests of programs that were named.
    pub const INSERT: u32 = 64;
    /// They may on the way to public addresses, too.
    pub const INSERT_ANYWHERE: u32 = 128;
    /// Tracepoints may be preempted (7.0): programs that see calls are there twice.
    pub const TWICE: u32 = 256;
    /// `tcp_retransmit_skb` tells of attempts that failed, too, and which did (6.17).
    pub const RETRANSMIT_FAILS: u32 = 512;
}

/// What the reader asks the probes to wake it for: the one word of the map `WAKE`. A wake-up answers the question, so the
/// word is [`wake::NEVER`] again after it.
pub mod wake {
    /// Nothing: the reader is at work.
    pub const NEVER: u32 = 0;
    /// A ring has filled up to a quarter: the reader waits for its timer.
    pub const RING_FILLS: u32 = 1;
    /// Any event: the reader sleeps.
    pub const ANY_EVENT: u32 = 2;
}

/// How many offsets there are.
pub const OFFSETS: usize = 66;

/// Which member an entry of [`Config::offsets`] is for. The agent reads them from the kernel's BTF by these names;
/// a member this kernel does not have is `u32::MAX` when the probes can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(
    missing_docs,
    reason = "each variant is explained by its row in ALL: the kernel's own names"
)]
pub enum Offset {
    TaskFiles,
    TaskStack,
    TaskIoUring,
    FilesFdt,
    FdtFd,
    FdtMaxFds,
    FileInode,
    FilePrivateData,
    FileFlags,
    FileEp,
    InodeMode,
    InodeNumber,
    SocketSk,
    SocketFile,
    SkSocket,
    SkFamily,
    SkProtocol,
    SkType,
    SkErr,
    SkDport,
    SkNum,
    SkDaddr,
    SkRcvSaddr,
    SkV6Daddr,
    SkV6RcvSaddr,
    SkNet,
    NetInum,
    TcpWriteSeq,
    TcpCopiedSeq,
    UnixPeer,
    MsgIter,
    IterType,
    IterUbuf,
    IterIov,
    IterOffset,
    IterSegments,
    IterCount,
    FileEpLinks,
    SkShutdown,
    TaskRealParent,
    TaskTgid,
    UnixAddr,
    UnixAddrLen,
    UnixAddrName,
    TcpRcvNxt,
    SkFlags,
    TcpSndUna,
    TcpBytesAcked,
    TcpBytesReceived,
    SkbControl,
    SkbSegments,
    SkCookie,
    SkState,
    TaskPid,
    TaskThreadBase,
    TaskRanFor,
    TaskRunsSince,
    TaskQueue,
    QueueRunQueue,
    RunQueueClock,
    RunQueueClockOfTasks,
    SkWmemQueued,
    SkSndbuf,
    SkProt,
    ProtoMemoryPressure,
    TcpNotsentLowat,
}

impl Offset {
    /// Every offset with the struct and the (possibly nested) member it is read from.
    pub const ALL: [(Self, &'static str, &'static str); 66] = [
        (Self::TaskFiles, "task_struct", "files"),
        (Self::TaskStack, "task_struct", "stack"),
        (Self::TaskIoUring, "task_struct", "io_uring"),
        (Self::FilesFdt, "files_struct", "fdt"),
        (Self::FdtFd, "fdtable", "fd"),
        (Self::FdtMaxFds, "fdtable", "max_fds"),
        (Self::FileInode, "file", "f_inode"),
        (Self::FilePrivateData, "file", "private_data"),
        (Self::FileFlags, "file", "f_flags"),
        (Self::FileEp, "file", "f_ep"),
        (Self::InodeMode, "inode", "i_mode"),
        (Self::InodeNumber, "inode", "i_ino"),
        (Self::SocketSk, "socket", "sk"),
        (Self::SocketFile, "socket", "file"),
        (Self::SkSocket, "sock", "sk_socket"),
        (Self::SkFamily, "sock", "__sk_common.skc_family"),
        (Self::SkProtocol, "sock", "sk_protocol"),
        (Self::SkType, "sock", "sk_type"),
        (Self::SkErr, "sock", "sk_err"),
        (Self::SkDport, "sock", "__sk_common.skc_dport"),
        (Self::SkNum, "sock", "__sk_common.skc_num"),
        (Self::SkDaddr, "sock", "__sk_common.skc_daddr"),
        (Self::SkRcvSaddr, "sock", "__sk_common.skc_rcv_saddr"),
        (Self::SkV6Daddr, "sock", "__sk_common.skc_v6_daddr"),
        (Self::SkV6RcvSaddr, "sock", "__sk_common.skc_v6_rcv_saddr"),
        (Self::SkNet, "sock", "__sk_common.skc_net.net"),
        (Self::NetInum, "net", "ns.inum"),
        (Self::TcpWriteSeq, "tcp_sock", "write_seq"),
        (Self::TcpCopiedSeq, "tcp_sock", "copied_seq"),
        (Self::UnixPeer, "unix_sock", "peer"),
        (Self::MsgIter, "msghdr", "msg_iter"),
        (Self::IterType, "iov_iter", "iter_type"),
        (Self::IterUbuf, "iov_iter", "ubuf"),
        (Self::IterIov, "iov_iter", "__iov"),
        (Self::IterOffset, "iov_iter", "iov_offset"),
        (Self::IterSegments, "iov_iter", "nr_segs"),
        (Self::IterCount, "iov_iter", "count"),
        (Self::FileEpLinks, "file", "f_ep_links"),
        (Self::SkShutdown, "sock", "sk_shutdown"),
        (Self::TaskRealParent, "task_struct", "real_parent"),
        (Self::TaskTgid, "task_struct", "tgid"),
        (Self::UnixAddr, "unix_sock", "addr"),
        (Self::UnixAddrLen, "unix_address", "len"),
        (Self::UnixAddrName, "unix_address", "name"),
        (Self::TcpRcvNxt, "tcp_sock", "rcv_nxt"),
        (Self::SkFlags, "sock", "__sk_common.skc_flags"),
        (Self::TcpSndUna, "tcp_sock", "snd_una"),
        (Self::TcpBytesAcked, "tcp_sock", "bytes_acked"),
        (Self::TcpBytesReceived, "tcp_sock", "bytes_received"),
        (Self::SkbControl, "sk_buff", "cb"),
        (Self::SkbSegments, "tcp_skb_cb", "tcp_gso_segs"),
        (Self::SkCookie, "sock", "__sk_common.skc_cookie"),
        (Self::SkState, "sock", "__sk_common.skc_state"),
        (Self::TaskPid, "task_struct", "pid"),
        (Self::TaskThreadBase, "task_struct", "thread.fsbase"),
        (Self::TaskRanFor, "task_struct", "se.sum_exec_runtime"),
        (Self::TaskRunsSince, "task_struct", "se.exec_start"),
        (Self::TaskQueue, "task_struct", "se.cfs_rq"),
        (Self::QueueRunQueue, "cfs_rq", "rq"),
        (Self::RunQueueClock, "rq", "clock"),
        (Self::RunQueueClockOfTasks, "rq", "clock_task"),
        (Self::SkWmemQueued, "sock", "sk_wmem_queued"),
        (Self::SkSndbuf, "sock", "sk_sndbuf"),
        (Self::SkProt, "sock", "__sk_common.skc_prot"),
        (Self::ProtoMemoryPressure, "proto", "memory_pressure"),
        (Self::TcpNotsentLowat, "tcp_sock", "notsent_lowat"),
    ];
}

/// How many structs there are.
pub const STRUCTS: usize = 3;

/// Which struct an entry of [`Config::structs`] is: one that probes take an address for, see [`crate::kfunc`]. The agent finds
/// their numbers by these names; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Struct {
    /// What a TCP socket is.
    TcpSock,
    /// Saved user registers.
    PtRegs,
    /// Two pointers: as the first of them a word is read at any address.
    ListHead,
}

impl Struct {
    /// Every struct with its name.
    pub const ALL: [(Self, &'static str); STRUCTS] =
        [(Self::TcpSock, "tcp_sock"), (Self::PtRegs, "pt_regs"), (Self::ListHead, "list_head")];
}
