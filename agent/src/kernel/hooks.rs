//! The three sets of hooks, and which of them a kernel can have.
#![forbid(unsafe_code)]

use std::fmt;

use clap::ValueEnum;

use super::btf::KernelTypes;

/// Where socket calls are seen. From the cheapest and most exact to the oldest; one set is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum HookSet {
    /// `tcp_sendmsg_locked` (6.16) before bytes are queued, with `sock_send_length` and `sock_recv_length`.
    Locked,
    /// `sock_send_length` and `sock_recv_length` (6.3).
    Length,
    /// The return of each system call that moves socket bytes: any kernel.
    Syscall,
}

/// What programs at the socket layer read kernel structs by. It is older (6.2) than their tracepoints.
pub const CAST: &str = "bpf_rdonly_cast";

impl HookSet {
    /// All, best first.
    pub const ALL: [Self; 3] = [Self::Locked, Self::Length, Self::Syscall];

    /// Whether the kernel has the tracepoints of this set, and what their programs call.
    #[must_use]
    pub fn exists(self, types: &KernelTypes) -> bool {
        let programs = self.socket_programs();
        programs.iter().all(|program| types.has_tracepoint(program.tracepoint))
            && (programs.is_empty() || types.has_function(CAST))
    }

    /// The BTF tracepoint programs that see socket calls in this set.
    #[must_use]
    pub const fn socket_programs(self) -> &'static [Program] {
        const LOCKED: &[Program] = &[
            Program::required("send_locked", "tcp_sendmsg_locked"),
            Program::required("send_length", "sock_send_length"),
            Program::required("recv_length", "sock_recv_length"),
        ];
        match self {
            Self::Locked => LOCKED,
            Self::Length => LOCKED.split_at(1).1,
            Self::Syscall => &[],
        }
    }

    /// Those that come behind these where tracepoints are preempted (7.0), in the same order: each goes on as its first where the kernel
    /// passed over that.
    #[must_use]
    pub const fn second_programs(self) -> &'static [Second] {
        const LOCKED: &[Second] = &[
            Second::new("send_locked_2nd", "tcp_sendmsg_locked", "SEND_LOCKED"),
            Second::new("send_length_2nd", "sock_send_length", "SEND_LENGTH"),
            Second::new("recv_length_2nd", "sock_recv_length", "RECV_LENGTH"),
        ];
        match self {
            Self::Locked => LOCKED,
            Self::Length => LOCKED.split_at(1).1,
            Self::Syscall => &[],
        }
    }

    /// The system-call programs of this set, each with the calls at whose return it runs.
    #[must_use]
    pub const fn syscall_programs(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Locked | Self::Length => &[],
            Self::Syscall => &[(
                "exit_call",
                &[
                    "read",
                    "readv",
                    "preadv2",
                    "recvfrom",
                    "recvmsg",
                    "recvmmsg",
                    "write",
                    "writev",
                    "pwritev2",
                    "sendto",
                    "sendmsg",
                    "sendmmsg",
                    "sendfile64",
                    "splice",
                ],
            )],
        }
    }

    /// The kernel release that brought the tracepoints of this set.
    #[must_use]
    pub const fn since(self) -> &'static str {
        match self {
            Self::Locked => "6.16",
            Self::Length => "6.3",
            Self::Syscall => "5.10",
        }
    }

    /// Whether the state of connections is found by socket address rather than kept in the socket.
    #[must_use]
    pub const fn by_address(self) -> bool {
        matches!(self, Self::Syscall)
    }
}

impl fmt::Display for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Locked => "tcp_sendmsg_locked",
            Self::Length => "sock_*_length",
            Self::Syscall => "system calls",
        })
    }
}

/// A program and the BTF tracepoint it is for.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// The tracepoint.
    pub tracepoint: &'static str,
    /// What is off where the kernel refuses it; `None` if nothing works without it.
    pub feature: Option<&'static str>,
}

impl Program {
    const fn required(name: &'static str, tracepoint: &'static str) -> Self {
        Self { name, tracepoint, feature: None }
    }

    const fn optional(name: &'static str, tracepoint: &'static str, feature: &'static str) -> Self {
        Self { name, tracepoint, feature: Some(feature) }
    }
}

/// A program behind another one at the same tracepoint.
#[derive(Clone, Copy, Debug)]
pub struct Second {
    /// The program.
    pub program: Program,
    /// The map that holds the first one.
    pub first: &'static str,
}

impl Second {
    /// What is off without them.
    pub const FEATURE: &str = "calls seen that another task's probe is in the way of";

    const fn new(name: &'static str, tracepoint: &'static str, first: &'static str) -> Self {
        Self { program: Program::optional(name, tracepoint, Self::FEATURE), first }
    }
}

/// Programs that every set has: the life of connections and processes.
///
/// The ends of both are needed: without them a socket's address or a process's number that is used again would be taken
/// for the one before.
pub const LIFECYCLE: [Program; 5] = [
    Program::optional(
        "tcp_state_changed",
        "inet_sock_set_state",
        "births and failures of TCP connections",
    ),
    Program::required("tcp_destroyed", "tcp_destroy_sock"),
    Program::optional("tcp_retransmitted", "tcp_retransmit_skb", "retransmissions"),
    Program::optional("process_exec", "sched_process_exec", "names of short-lived processes"),
    Program::required("process_exit", "sched_process_exit"),
];
