//! What the probes are told of language runtimes, and what they tell of them: the seam between a runtime's folder in the
//! agent and its probes.
//!
//! A runtime answers one question in the kernel: *which task is this call made for* (a [`Task`] key), or *absent,
//! because…* ([`Absent`]). Nothing here knows how it finds out.

#[cfg(feature = "user")]
use zerocopy::{Immutable, IntoBytes};

/// Keys of [`task`] have this bit; those of threads (`pid_tgid`) never do, because a pid has 22 bits.
const RUNTIME: u64 = 1 << 63;
/// Bits of a task's number within its process.
const NUMBER_BITS: u32 = 40;
/// The bits of a key that are the task's number.
pub const NUMBER: u64 = (1 << NUMBER_BITS) - 1;

/// Most values that are under way in channels and are remembered.
pub const SENT: usize = 16_384;
/// Most goroutines that wait for one.
pub const RECEIVING: usize = 8_192;

/// Key of the logical task `number` (a goroutine's id, say) of a process; 0 if the number is none or too large to be told from
/// others.
#[must_use]
#[inline(always)]
pub const fn task(tgid: u32, number: u64) -> u64 {
    if number == 0 || number >> NUMBER_BITS != 0 {
        return 0;
    }
    RUNTIME | (tgid as u64 & 0x3f_ffff) << NUMBER_BITS | number
}

/// By which rule of a runtime a call was found to be made for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rule {
    /// The goroutine that serves the request made the call.
    GoHandler = 1,
    /// A goroutine that was started by the one that serves, while it did, or by one that is known to have been.
    GoChild = 2,
    /// The call's `context.Context` descends from the request's.
    GoContext = 3,
    /// No rule by itself: a goroutine that writes for others is told from one that works, and its words are those of whoever
    /// waits for them.
    GoTransport = 4,
    /// No rule by itself, either: grpc-go's own functions tell which goroutine opens a stream, and which serves one.
    GoGrpc = 5,
    /// The same of HTTP/2 in `net/http`.
    GoHttp2 = 6,
    /// No rule by itself: who starts a goroutine is told where that happens, so that those are known which make no call of their own.
    GoNewproc = 7,
    /// A thread of a Python `ThreadPoolExecutor` works on what the thread that serves the request, or one that works for it, has
    /// submitted.
    PythonPool = 8,
    /// A goroutine works on what it has received from a channel, which the goroutine that serves the request, or one that it has
    /// started, has sent.
    GoChannel = 9,
}

impl Rule {
    /// All, in ABI order.
    pub const ALL: [Self; 9] = [
        Self::GoHandler,
        Self::GoChild,
        Self::GoContext,
        Self::GoTransport,
        Self::GoGrpc,
        Self::GoHttp2,
        Self::GoNewproc,
        Self::PythonPool,
        Self::GoChannel,
    ];

    /// The rule of an ABI byte; `None` for a byte no probe writes.
    #[must_use]
    pub const fn from_abi(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::GoHandler),
            2 => Some(Self::GoChild),
            3 => Some(Self::GoContext),
            4 => Some(Self::GoTransport),
            5 => Some(Self::GoGrpc),
            6 => Some(Self::GoHttp2),
            7 => Some(Self::GoNewproc),
            8 => Some(Self::PythonPool),
            9 => Some(Self::GoChannel),
            _ => None,
        }
    }

    /// Its name in configuration, and in `spanwire.link.rule`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GoHandler => "go-handler",
            Self::GoChild => "go-child",
            Self::GoContext => "go-context",
            Self::GoTransport => "go-transport",
            Self::GoGrpc => "go-grpc",
            Self::GoHttp2 => "go-http2",
            Self::GoNewproc => "go-newproc",
            Self::PythonPool => "python-pool",
            Self::GoChannel => "go-channel",
        }
    }

    /// Whether the request's goroutine itself is not the one that works: then the work may have outlived the request, and
    /// user space has to see that it did not.
    #[must_use]
    pub const fn is_of_another_task(self) -> bool {
        matches!(self, Self::GoChild | Self::PythonPool | Self::GoChannel)
    }

    /// Whether it is only used where it is asked for.
    #[must_use]
    pub const fn is_opt_in(self) -> bool {
        matches!(self, Self::GoChannel)
    }

    /// Whether the request is served by a thread: then it is so only where the rule of threads says so as well.
    #[must_use]
    pub const fn is_of_threads(self) -> bool {
        matches!(self, Self::PythonPool)
    }
}

/// Why a runtime does not know for which request a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Absent {
    /// The thread's own record of its task could not be read, or contradicts itself.
    NoTask = 1,
    /// The task serves nothing, and nothing that does has started it.
    NoRequest = 2,
    /// It receives work from others: what starts it says nothing of what it does.
    Receives = 3,
    /// It is older than the request that the task which started it serves now.
    OlderThanRequest = 4,
    /// It was started for a request that is over.
    RequestOver = 5,
    /// It writes for others, and its place on the stack was not where it must be.
    UnlikeFrame = 6,
    /// It writes for others, and nobody waits for that (any more).
    NobodyWaits = 7,
    /// There are more processors than can be looked at.
    ManyProcessors = 8,
    /// It is a stream of HTTP/2, and no probe in its process told who opened it: there was none yet, or the stream was opened in another
    /// way.
    NotTold = 9,
    /// What has started it is a goroutine of which nothing is known, and not the program's first.
    MakerUnknown = 10,
    /// It is a thread that serves nothing, and the queue that would tell for whom it works has no probes: nothing has needed them before, or it is
    /// used too often.
    QueueUnwatched = 11,
}

impl Absent {
    /// All, in ABI order.
    pub const ALL: [Self; 11] = [
        Self::NoTask,
        Self::NoRequest,
        Self::Receives,
        Self::OlderThanRequest,
        Self::RequestOver,
        Self::UnlikeFrame,
        Self::NobodyWaits,
        Self::ManyProcessors,
        Self::NotTold,
        Self::MakerUnknown,
        Self::QueueUnwatched,
    ];

    /// The reason of an ABI byte; `None` for a byte no probe writes.
    #[must_use]
    pub fn from_abi(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == byte)
    }

    /// A word for counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoTask => "no_task",
            Self::NoRequest => "no_request",
            Self::Receives => "receives_work",
            Self::OlderThanRequest => "older_than_request",
            Self::RequestOver => "request_over",
            Self::UnlikeFrame => "unlike_frame",
            Self::NobodyWaits => "nobody_waits",
            Self::ManyProcessors => "many_processors",
            Self::NotTold => "not_told",
            Self::MakerUnknown => "maker_unknown",
            Self::QueueUnwatched => "queue_unwatched",
        }
    }
}

/// What the probes must know of a process that runs Go: addresses in it, and offsets of its version, all checked by the
/// agent against the living process. Words, so that a map can hold it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(IntoBytes, Immutable))]
#[repr(C)]
pub struct GoProcess {
    /// Bits `1 << rule` of the rules that are on.
    pub rules: u64,
    /// What to add to the thread's base (`fs`) to get the address of its `g`.
    pub tls: u64,
    /// Address of the next goroutine id (`runtime.sched.goidgen`).
    pub goidgen: u64,
    /// Address of the slice of processors (`runtime.allp`).
    pub allp: u64,
    /// Where goroutines of `net/http` servers start,
    pub serve: u64,
    /// the return address in there of the call of `(*conn).serve`,
    pub serve_return: u64,
    /// and how far below the top of the stack that one's frame is.
    pub serve_frame: u64,
    /// The same of the goroutines that write for `net/http` clients, `(*persistConn).writeLoop`.
    pub write: u64,
    /// See [`Self::serve_return`].
    pub write_return: u64,
    /// See [`Self::serve_frame`].
    pub write_frame: u64,
    /// How far below its frame the request is that it writes (`wr.req`),
    pub write_request: u64,
    /// and the channel in which is waited for that (`wr.ch`).
    pub write_channel: u64,
    /// `runtime.g.goid`
    pub g_goid: u64,
    /// `runtime.g.parentGoid`, 0 before Go 1.21.
    pub g_parent: u64,
    /// `runtime.g.startpc`
    pub g_startpc: u64,
    /// `runtime.g.m`
    pub g_m: u64,
    /// `runtime.m.curg`
    pub m_curg: u64,
    /// `runtime.p.goidcache`; `goidcacheend` is the next word.
    pub p_goidcache: u64,
    /// `runtime.hchan.recvq`
    pub chan_recvq: u64,
    /// `runtime.hchan.elemsize`, of two bytes.
    pub chan_elemsize: u64,
    /// `runtime.sudog.g`
    pub sudog_g: u64,
    /// `net/http.persistConn.conn`
    pub persist_conn: u64,
    /// `net/http.conn.rwc`
    pub conn_rwc: u64,
    /// `net.netFD.laddr`
    pub fd_laddr: u64,
    /// `net.netFD.pfd` and `internal/poll.FD.Sysfd`
    pub fd_sysfd: u64,
    /// `net/http.transportRequest.ctx` (1.23), else 0,
    pub transport_ctx: u64,
    /// and then `net/http.Request.ctx`.
    pub request_ctx: u64,
    /// `context.cancelCtx.err`
    pub cancel_err: u64,
    /// `net.netFD.family`
    pub fd_family: u64,
    /// `net.netFD.sotype`
    pub fd_sotype: u64,
}

impl GoProcess {
    /// How many words it has.
    pub const WORDS: usize = size_of::<Self>() / 8;
}

/// The same of a process that uses grpc-go: where its transports keep what connection and stream they are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(IntoBytes, Immutable))]
#[repr(C)]
pub struct GoGrpc {
    /// Address of `(*http2Server).Close`: the first method of a transport that serves from a connection of its own.
    pub server_close: u64,
    /// `http2Server.conn`
    pub server_conn: u64,
    /// `http2Client.conn`
    pub client_conn: u64,
    /// In what a client is given for a stream: its transport.
    pub client_transport: u64,
    /// There: what both sides have of a stream,
    pub client_stream: u64,
    /// and not zero if only a pointer to it is there.
    pub client_stream_points: u64,
    /// The same in what a server is given.
    pub server_stream: u64,
    /// See [`Self::client_stream_points`].
    pub server_stream_points: u64,
    /// `Stream.id`
    pub stream_id: u64,
    /// `Stream.ctx`
    pub stream_ctx: u64,
}

impl GoGrpc {
    /// How many words it has.
    pub const WORDS: usize = size_of::<Self>() / 8;
}

/// The same of a process with the HTTP/2 of `net/http` (the names are those of its structs, without their `http2`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(IntoBytes, Immutable))]
#[repr(C)]
pub struct GoHttp2 {
    /// `serverConn.conn`
    pub server_conn: u64,
    /// What a handler writes to leads to its stream: `responseWriter.rws`,
    pub writer_state: u64,
    /// `responseWriterState.stream`,
    pub state_stream: u64,
    /// `stream.id`
    pub stream_id: u64,
    /// `clientStream.cc`
    pub client_conn: u64,
    /// `ClientConn.tconn`
    pub conn_socket: u64,
    /// `clientStream.ID`
    pub client_id: u64,
    /// `clientStream.ctx`
    pub client_ctx: u64,
    /// `clientStream.respHeaderRecv`: the channel in which whoever wants the answer waits for it.
    pub client_received: u64,
    /// Address of `(*bufConn).Close` of `golang.org/x/net/http2/h2c`, 0 if there is none: the first method of a connection that has the
    /// true one first.
    pub buffered_close: u64,
}

impl GoHttp2 {
    /// How many words it has.
    pub const WORDS: usize = size_of::<Self>() / 8;
}

/// What the probes must know of a process that runs Python: where an object names its type, and a type itself; and what they tell of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(IntoBytes, Immutable))]
#[repr(C)]
pub struct PythonProcess {
    /// `PyObject.ob_type`
    pub ob_type: u64,
    /// `PyTypeObject.tp_name`
    pub tp_name: u64,
    /// Which time the probes are in this is: what was learned in another is not true any more. No two have the same, in whichever process;
    /// 0 while they are out.
    pub epoch: u64,
    /// How often something was put into such a queue or asked for since, as the probes count it.
    pub uses: u64,
}

impl PythonProcess {
    /// How many words it has.
    pub const WORDS: usize = size_of::<Self>() / 8;
}

/// Words of what the probes remember of a thread that asks queues for work, by its key (`pid_tgid`).
pub const POOL_THREAD_WORDS: usize = 11;
/// The same of work in a queue, by process and address.
pub const POOL_ITEM_WORDS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_tasks_are_none_of_threads() {
        let (most, tid) = (0x3f_ffff_u64, 0x3f_ffff_u64);
        assert!(most << 32 | tid < RUNTIME);
        assert_eq!(task(7, 0), 0, "the system's own goroutine");
        assert_eq!(task(7, 1 << 40), 0);
        assert_ne!(task(7, 9), task(8, 9));
        assert!(task(0x3f_ffff, (1 << 40) - 1) > task(0x3f_fffe, 1));
    }

    #[test]
    fn numbers_of_rules_and_reasons_are_pinned() {
        for (at, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!((rule as usize, Rule::from_abi(rule as u8)), (at + 1, Some(rule)));
        }
        for (at, reason) in Absent::ALL.into_iter().enumerate() {
            assert_eq!((reason as usize, Absent::from_abi(reason as u8)), (at + 1, Some(reason)));
        }
        assert_eq!((GoProcess::WORDS, GoGrpc::WORDS, GoHttp2::WORDS), (30, 10, 10));
        assert_eq!(PythonProcess::WORDS, 4);
    }
}
