//! What the kernel half counts: losses and limits, one slot each in a per-CPU array.

/// Slots of the counter array. A slot's number is ABI: new ones are added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Data events written.
    DataEvents = 0,
    /// Data events lost because the data ring was full.
    DataRingFull = 1,
    /// Bytes moved by those lost calls.
    DataRingFullBytes = 2,
    /// Control events lost because the control ring was full.
    ControlRingFull = 3,
    /// Calls whose bytes could not be read ([`crate::NoData::Fault`]).
    Faults = 4,
    /// Calls that were not calls on the socket ([`crate::NoData::ForeignCall`]).
    ForeignCalls = 5,
    /// Calls of a form without readable buffers ([`crate::NoData::Form`]).
    UnreadableForms = 6,
    /// Calls whose bytes were in kernel pages ([`crate::NoData::KernelPages`]).
    KernelPages = 7,
    /// Calls that raced with another writer ([`crate::NoData::Raced`]).
    Raced = 8,
    /// Connections that could not be tracked: no memory for their state.
    ConnectionsUntracked = 9,
    /// Connections set to ignored because nothing known was spoken on them.
    ConnectionsIgnored = 10,
    /// Processes in which the thread rule was revoked.
    ThreadRuleRevoked = 11,
    /// Calls lost because another was being put together on the same CPU.
    ScratchBusy = 12,
    /// Connections met: no loss, but what shows at start-up that the hooks fire.
    ConnectionsMet = 13,
    /// Calls taken for the start of a request that was sent ([`crate::data_flag::REQUEST`]). That of one received is the
    /// next slot; so below.
    RequestsSent = 14,
    /// See above.
    RequestsReceived = 15,
    /// Of those, the ones that are among the data events lost.
    RequestsSentLost = 16,
    /// See above.
    RequestsReceivedLost = 17,
    /// Connections at whose beginning another agent was asked for ([`crate::wire`]).
    WireOffered = 18,
    /// Of those, the ones where one answered.
    WireAnswered = 19,
    /// And where something sent the question back as it was.
    WireMirrored = 20,
    /// Connections that were made only after the question had been left out.
    WireRetried = 21,
    /// Connections at which it was not asked, because of such ones before.
    WireSilenced = 22,
    /// Segments that carried a context.
    WireSent = 23,
    /// Segments that had no room for one.
    WireNoRoom = 24,
    /// Requests to another agent whose trace was not certain, so that nothing was sent with them.
    WireUnbound = 25,
    /// Requests that followed another one so closely that its context may not have gone yet.
    WireReplaced = 26,
    /// Contexts that came.
    WireReceived = 27,
    /// Of those, the ones whose request was read.
    WireRead = 28,
    /// Connections of named programs whose requests may be given a context ([`crate::insert`]).
    InsertEnrolled = 29,
    /// Those that were left alone: to public addresses,
    InsertNotPrivate = 30,
    /// because their socket blocks,
    InsertBlocks = 31,
    /// because an agent answered at the other end,
    InsertAgent = 32,
    /// or because the kernel would not have it: another program holds the socket.
    InsertRefused = 33,
    /// Connections that were taken out again, because their socket began to block.
    InsertUnenrolled = 34,
    /// Requests that were given a context.
    InsertDone = 35,
    /// Requests that were not: they had one,
    InsertHasOne = 36,
    /// their trace was not certain,
    InsertUnbound = 37,
    /// their process is left alone,
    InsertQuiet = 38,
    /// there was no room in the send buffer, or the host is short of memory,
    InsertNoRoom = 39,
    /// their head was not sent in one piece, or is too long,
    InsertSplit = 40,
    /// they are not of a form that is certain.
    InsertOther = 41,
    /// The kernel failed in the middle; what it had done was undone.
    InsertFailed = 42,
    /// Connections on which it was not known any more where the next request begins: after bodies without a length, after `Expect` and `Upgrade`, and after any of the last three.
    InsertLost = 43,
    /// Work that was put into a queue and is not remembered, because too much is: the calls that it makes have no parent.
    PoolItemsFull = 44,
    /// Threads that ask queues for work and are not remembered, for the same reason.
    PoolThreadsFull = 45,
    /// Requests with a `traceparent` that was passed on, in which their own span was made the parent ([`crate::insert`]),
    InsertReplaced = 46,
    /// and those in which it was not, because it may be signed.
    InsertSigned = 47,
    /// Calls that the kernel passed over the first of two programs for, and the second one saw.
    SeenSecond = 48,
    /// Connections on which it is known again where the next request begins: their last one was read to its end, and answered.
    InsertFound = 49,
    /// Connections of named programs that were there before the agent, and were taken in.
    InsertOlder = 50,
}

impl Counter {
    /// All slots in ABI order, each with the name a user sees.
    pub const ALL: [(Self, &'static str); 51] = [
        (Self::DataEvents, "data_events"),
        (Self::DataRingFull, "data_ring_full"),
        (Self::DataRingFullBytes, "data_ring_full_bytes"),
        (Self::ControlRingFull, "control_ring_full"),
        (Self::Faults, "user_memory_faults"),
        (Self::ForeignCalls, "foreign_calls"),
        (Self::UnreadableForms, "unreadable_forms"),
        (Self::KernelPages, "kernel_pages"),
        (Self::Raced, "raced_writers"),
        (Self::ConnectionsUntracked, "connections_untracked"),
        (Self::ConnectionsIgnored, "connections_ignored"),
        (Self::ThreadRuleRevoked, "thread_rule_revoked"),
        (Self::ScratchBusy, "scratch_busy"),
        (Self::ConnectionsMet, "connections_met"),
        (Self::RequestsSent, "requests_sent"),
        (Self::RequestsReceived, "requests_received"),
        (Self::RequestsSentLost, "requests_sent_lost"),
        (Self::RequestsReceivedLost, "requests_received_lost"),
        (Self::WireOffered, "wire_offered"),
        (Self::WireAnswered, "wire_answered"),
        (Self::WireMirrored, "wire_mirrored"),
        (Self::WireRetried, "wire_retried"),
        (Self::WireSilenced, "wire_silenced"),
        (Self::WireSent, "wire_sent"),
        (Self::WireNoRoom, "wire_no_room"),
        (Self::WireUnbound, "wire_unbound"),
        (Self::WireReplaced, "wire_replaced"),
        (Self::WireReceived, "wire_received"),
        (Self::WireRead, "wire_read"),
        (Self::InsertEnrolled, "insert_enrolled"),
        (Self::InsertNotPrivate, "insert_not_private"),
        (Self::InsertBlocks, "insert_blocks"),
        (Self::InsertAgent, "insert_agent"),
        (Self::InsertRefused, "insert_refused"),
        (Self::InsertUnenrolled, "insert_unenrolled"),
        (Self::InsertDone, "insert_done"),
        (Self::InsertHasOne, "insert_has_one"),
        (Self::InsertUnbound, "insert_unbound"),
        (Self::InsertQuiet, "insert_quiet"),
        (Self::InsertNoRoom, "insert_no_room"),
        (Self::InsertSplit, "insert_split"),
        (Self::InsertOther, "insert_other"),
        (Self::InsertFailed, "insert_failed"),
        (Self::InsertLost, "insert_lost"),
        (Self::PoolItemsFull, "pool_items_full"),
        (Self::PoolThreadsFull, "pool_threads_full"),
        (Self::InsertReplaced, "insert_replaced"),
        (Self::InsertSigned, "insert_signed"),
        (Self::SeenSecond, "calls_seen_second"),
        (Self::InsertFound, "insert_found"),
        (Self::InsertOlder, "insert_older"),
    ];
}

/// Most processes of named programs ([`crate::insert`]).
pub const NAMED_PROCESSES: usize = 4096;

/// Most of their sockets. No round number: by it, and what stands around it, the map's definition is found in the object.
pub const SOCKETS: u32 = 65_521;

/// Rules that leave out processes are counted in so many slots, by their number, from 1 on: a power of two.
pub const LEFT_OUT_RULES: usize = 512;
