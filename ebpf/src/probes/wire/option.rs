//! The TCP option: asked for in SYNs, answered in SYN-ACKs, and then beside the first byte of each request.
//!
//! One program for every socket of the host, called at few moments of its life: made, answered, listening; and for each segment
//! only where there is another agent at the other end. The kernel decides about room: what it does not grant is counted and
//! not sent. Payload and the socket's behaviour to its program are as without; segments are 28 bytes shorter.
//!
//! An option is written only into the segment that begins with the request's first byte, and read only for a request that
//! begins where its segment did. What the network card cuts carries it in each part: of these, the lowest counts.
//!
//! But where no hook tells of a request before its bytes are queued, it looks itself ([`late`]), and then only does it use the
//! scratch event: else it may interrupt who uses that.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB,
        BPF_SOCK_OPS_PARSE_HDR_OPT_CB, BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG,
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_CONNECT_CB,
        BPF_SOCK_OPS_TCP_LISTEN_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB,
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, bpf_sock_ops,
    },
    btf_maps::LruHashMap,
    helpers::generated::{
        bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_load_hdr_opt, bpf_reserve_hdr_opt,
        bpf_sk_storage_get, bpf_sock_ops_cb_flags_set, bpf_store_hdr_opt,
    },
    macros::{btf_map, sock_ops},
    programs::SockOpsContext,
};
use spanwire_ebpf::{
    Counter, Family, Offset, config_flag,
    wire::{ANSWER, CONTEXT, KIND, NOT_SAMPLED, OFFER, SAMPLED, Scope},
};

use super::{
    OUTGOING, Outgoing, REQUESTS, Request, Sending, about_to_send, bits, make_context, name, stage,
    wake,
};
use crate::{
    bytes::Source,
    config, emit,
    maps::{STATES, count},
    memory::{Probed, Reach},
    observe::{self, FIRST_LAP},
    registers::{Call, task},
    socket,
    state::State,
};

/// `BPF_LOAD_HDR_OPT_TCP_SYN`: of the SYN, not of what is at hand.
const OF_THE_SYN: u64 = 1;
/// `BPF_WRITE_HDR_TCP_CURRENT_MSS`: no segment is made, only its room is asked for.
const ROOM_ONLY: u32 = 1;
/// Flags of a TCP header (RFC 9293 §3.1).
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

/// Bytes that may be sent at once; of vectors more than is looked at, whatever they hold.
pub(crate) const MANY: u64 = 1 << 30;

/// What is known of the way to a destination.
#[derive(Clone, Copy)]
#[repr(C)]
struct Way {
    /// How often in a row it was reached only without the question.
    strikes: u64,
    /// Until when it is not asked any more, ns of `CLOCK_MONOTONIC`.
    until: u64,
    /// When a question went through last, likewise; 0 if none did.
    passed: u64,
}

/// By the destination's IPv6 or IPv4-mapped address.
#[btf_map(name = "WAYS")]
static WAYS: LruHashMap<[u32; 4], Way, 4096> = LruHashMap::new();

/// A SYN can be lost for other reasons; twice in a row it is the question, unless one went through not long before.
const STRIKES: u64 = 2;
/// For so long such a destination is not asked: five minutes.
const SILENCE: u64 = 300_000_000_000;

/// The last context that came on a connection.
#[derive(Clone, Copy)]
#[repr(C)]
struct Came {
    span: u64,
    name: u64,
}

/// By the socket's cookie.
#[btf_map(name = "CAME")]
static CAME: LruHashMap<u64, Came, 16384> = LruHashMap::new();

macro_rules! field {
    ($ops:expr, $($field:tt)+) => {
        // SAFETY: a field of the context. Volatile, because the verifier refuses reads of two at once.
        unsafe {
            ptr::read_volatile(&raw const (*$ops).$($field)+)
        }
    };
}

pub(crate) use field;

/// The one program of this module.
#[sock_ops]
pub(crate) fn wire_options(context: SockOpsContext) -> u32 {
    let ops = context.ops;
    let op = field!(ops, op);
    if op == BPF_SOCK_OPS_HDR_OPT_LEN_CB {
        reserve(ops);
    } else if op == BPF_SOCK_OPS_WRITE_HDR_OPT_CB {
        write(ops);
    } else if op == BPF_SOCK_OPS_PARSE_HDR_OPT_CB {
        parse(ops);
    } else if op == BPF_SOCK_OPS_TCP_CONNECT_CB {
        connect(ops);
    } else if op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB {
        connected(ops);
    } else if op == BPF_SOCK_OPS_TCP_LISTEN_CB {
        listen(ops);
    } else if op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB {
        // Answered or not: it writes nothing any more, and reads what comes.
        change(ops, 0, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
    }
    1
}

/// A connection is about to be made: may it be asked for an agent?
#[inline(always)]
fn connect(ops: *mut bpf_sock_ops) {
    if !is_ours(ops) {
        return;
    }
    let Some(address) = destination(ops) else { return };
    if let Some(way) = WAYS.get_ptr(address)
        && unsafe { (*way).strikes >= STRIKES && (*way).until > emit::now() }
    {
        count(Counter::WireSilenced, 1);
        return;
    }
    change(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
}

/// It is made: has an agent answered?
#[inline(always)]
fn connected(ops: *mut bpf_sock_ops) {
    if field!(ops, bpf_sock_ops_cb_flags) & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG == 0 {
        return;
    }
    if let Some(address) = destination(ops) {
        went(address, field!(ops, total_retrans) > 0);
    }
    if holds(ops, NOT_SAMPLED, ANSWER, 0) {
        count(Counter::WireAnswered, 1);
        wake();
        let nothing = Outgoing {
            trace: [0; 2],
            span: 0,
            sequence: 0,
            stage: stage::NONE,
            sampled: 0,
            reserved: [0; 2],
        };
        let cookie = unsafe { bpf_get_socket_cookie(ops.cast()) };
        if OUTGOING.insert(cookie, nothing, 0).is_ok() {
            return;
        }
    } else if holds(ops, SAMPLED, OFFER, 0) {
        count(Counter::WireMirrored, 1);
    }
    change(ops, 0, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

/// A question went through, or the connection was made only at the second try, without it.
#[inline(always)]
fn went(address: [u32; 4], retried: bool) {
    let now = emit::now();
    let mut way = match WAYS.get_ptr(address) {
        Some(known) => unsafe { *known },
        None => Way { strikes: 0, until: 0, passed: 0 },
    };
    let passes = way.passed != 0 && now - way.passed < SILENCE;
    if retried {
        count(Counter::WireRetried, 1);
        if passes {
            return;
        }
        way.strikes += 1;
        way.until = now + SILENCE;
    } else {
        // Not at each connection: that it passes is known for a while.
        if passes && now - way.passed < SILENCE / 2 {
            return;
        }
        way = Way { strikes: 0, until: 0, passed: now };
    }
    let _ = WAYS.insert(address, way, 0);
}

/// A socket listens: what comes to it may be asked, and its connections carry contexts. They inherit these flags.
#[inline(always)]
fn listen(ops: *mut bpf_sock_ops) {
    if is_ours(ops) {
        change(ops, LISTENING, 0);
    }
}

/// Flags of a socket that listens.
pub(super) const LISTENING: u32 =
    BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_PARSE_UNKNOWN_HDR_OPT_CB_FLAG;

/// A segment is about to be made: how much room for options?
#[inline(always)]
fn reserve(ops: *mut bpf_sock_ops) {
    let flags = field!(ops, skb_tcp_flags);
    if flags & (SYN | ACK) == SYN {
        // Repeated, it goes without: whatever swallowed the first may have done so because of the option.
        if field!(ops, total_retrans) == 0 {
            room(ops, OFFER);
        }
        return;
    }
    if flags & SYN != 0 {
        if is_asked(ops) {
            wake();
            room(ops, ANSWER);
        }
        return;
    }
    if field!(ops, is_fullsock) == 0 {
        return;
    }
    let cookie = unsafe { bpf_get_socket_cookie(ops.cast()) };
    let Some(outgoing) = OUTGOING.get_ptr(cookie) else { return };
    if field!(ops, __bindgen_anon_1.args[0]) == ROOM_ONLY {
        // Always: what is queued now must leave room for what goes with it.
        room(ops, CONTEXT);
        return;
    }
    let len = field!(ops, skb_len);
    if len > 0 && config::has(config_flag::WIRE_LATE) && late(ops, cookie) != 0 {
        make_context();
    }
    let sequence = unsafe { (*outgoing).sequence };
    let ahead = sequence.wrapping_sub(field!(ops, snd_una)) as i32;
    let stage = unsafe { (*outgoing).stage };
    if stage != stage::NONE && ahead >= 0 && len > 0 && !room(ops, CONTEXT) {
        count(Counter::WireNoRoom, 1);
    }
}

/// If the segment holds the first bytes of what the running call sends, and a request begins there: makes its context. Where
/// no hook has seen it before (set `length`). 1 if one may begin: then the scratch event is ours, and [`make_context`] is to be called.
#[inline(never)]
fn late(ops: *mut bpf_sock_ops, cookie: u64) -> u64 {
    let (next, received) = (field!(ops, snd_nxt), field!(ops, rcv_nxt));
    unsafe {
        let sk = ptr::read_volatile(&raw const (*ops).__bindgen_anon_2.sk);
        if sk.is_null() {
            return 0;
        }
        let states = (&raw const STATES).cast_mut().cast();
        let state: *mut State = bpf_sk_storage_get(states, sk.cast(), ptr::null_mut(), 0).cast();
        // All earlier calls have returned, and what they sent has gone: then this one's first byte comes next.
        if state.is_null() || (*state).ways[0].next as u32 != next {
            return 0;
        }
        let call = Call::on_stack();
        if !call.sends() {
            return 0;
        }
        // Segments are made for acknowledgements that come, too, whatever runs then.
        let Some((sock, _)) = socket::behind(call.first) else { return 0 };
        let its: u64 = Probed::member(sock as *const c_void, Offset::SkCookie);
        if its != cookie {
            return 0;
        }
        let task = task();
        if (*state).generation == 0 {
            let next = [FIRST_LAP + u64::from(next), FIRST_LAP + u64::from(received)];
            observe::meet(sock, state, next, task);
        }
        let source = Source::of(&call);
        let len = if source.is_plain() { call.third } else { MANY };
        let Some(scratch) = emit::scratch() else { return 0 };
        let sending = Sending { sock, cookie, task, sequence: next, source, len };
        if about_to_send(state, scratch, &sending) {
            return 1;
        }
        emit::release(scratch);
    }
    0
}

/// It is made, and has the room that was granted.
#[inline(always)]
fn write(ops: *mut bpf_sock_ops) {
    let flags = field!(ops, skb_tcp_flags);
    if flags & (SYN | ACK) == SYN {
        let mut option = [KIND, OFFER as u8, SAMPLED[0], SAMPLED[1], 0, 0, 0, 0];
        let agent = agent();
        let mut i = 0;
        while i < 4 {
            option[4 + i] = agent[i];
            i += 1;
        }
        if store(ops, &option) {
            count(Counter::WireOffered, 1);
        }
        return;
    }
    if flags & SYN != 0 {
        store(ops, &[KIND, ANSWER as u8, NOT_SAMPLED[0], NOT_SAMPLED[1]]);
        return;
    }
    if field!(ops, is_fullsock) == 0 {
        return;
    }
    let cookie = unsafe { bpf_get_socket_cookie(ops.cast()) };
    let Some(outgoing) = OUTGOING.get_ptr_mut(cookie) else { return };
    let Some(sequence) = sequence(ops) else { return };
    let len = field!(ops, skb_len);
    unsafe {
        if (*outgoing).stage == stage::NONE || (*outgoing).sequence != sequence || len == 0 {
            return;
        }
        let exid = if (*outgoing).sampled != 0 { SAMPLED } else { NOT_SAMPLED };
        // By words; on the wire they stand in network order.
        let mut option = [0u32; CONTEXT / 4];
        option[0] = u32::from_le_bytes([KIND, CONTEXT as u8, exid[0], exid[1]]);
        let words = [(*outgoing).trace[0], (*outgoing).trace[1], (*outgoing).span];
        let mut i = 0;
        while i < 3 {
            option[1 + 2 * i] = ((words[i] >> 32) as u32).to_be();
            option[2 + 2 * i] = (words[i] as u32).to_be();
            i += 1;
        }
        if bpf_store_hdr_opt(ops, option.as_ptr().cast(), CONTEXT as u32, 0) == 0 {
            (*outgoing).stage = stage::WENT;
            count(Counter::WireSent, 1);
        }
    }
}

/// A segment with an option that the kernel does not know came: is it a context?
#[inline(always)]
fn parse(ops: *mut bpf_sock_ops) {
    let mut option = [0u32; CONTEXT / 4];
    let sampled = load(ops, &mut option, SAMPLED);
    if !sampled && !load(ops, &mut option, NOT_SAMPLED) {
        return;
    }
    let Some(sequence) = sequence(ops) else { return };
    let pair = |i: usize| {
        u64::from(u32::from_be(option[i])) << 32 | u64::from(u32::from_be(option[i + 1]))
    };
    let (trace, span) = ([pair(1), pair(3)], pair(5));
    if trace[0] | trace[1] == 0 || span == 0 {
        return;
    }
    count(Counter::WireReceived, 1);
    // What is acknowledged is counted from the first byte that was sent on.
    let origin = field!(ops, snd_una).wrapping_sub(field!(ops, bytes_acked) as u32);
    let name = name(sequence, origin);
    let cookie = unsafe { bpf_get_socket_cookie(ops.cast()) };
    if let Some(came) = CAME.get_ptr(cookie)
        && unsafe { (*came).span == span }
    {
        let before = unsafe { (*came).name };
        if ((sequence.wrapping_sub((before >> 32) as u32)) as i32) >= 0 {
            // A later part of the same segment, or the same again.
            return;
        }
        let _ = REQUESTS.remove(before);
    }
    let _ = CAME.insert(cookie, Came { span, name }, 0);
    let bits = bits::BOUND | bits::CAME | if sampled { bits::SAMPLED } else { 0 };
    let _ = REQUESTS.insert(name, Request { trace, span, bits }, 0);
}

/// Whether a SYN that is answered now asks for another agent than us: who asks from this host is seen without.
#[inline(always)]
fn is_asked(ops: *mut bpf_sock_ops) -> bool {
    let mut option = [0u8; OFFER];
    option[0] = KIND;
    option[1] = ANSWER as u8;
    option[2] = SAMPLED[0];
    option[3] = SAMPLED[1];
    let len =
        unsafe { bpf_load_hdr_opt(ops, option.as_mut_ptr().cast(), OFFER as u32, OF_THE_SYN) };
    let agent = agent();
    len == OFFER as i64
        && !(option[4] == agent[0]
            && option[5] == agent[1]
            && option[6] == agent[2]
            && option[7] == agent[3])
}

/// Whether what is at hand has our option with that identifier, of that length.
#[inline(always)]
fn holds(ops: *mut bpf_sock_ops, exid: [u8; 2], len: usize, of: u64) -> bool {
    let mut option = [0u32; OFFER / 4];
    option[0] = u32::from_le_bytes([KIND, 4, exid[0], exid[1]]);
    let found = unsafe { bpf_load_hdr_opt(ops, option.as_mut_ptr().cast(), OFFER as u32, of) };
    found == len as i64
}

/// Reads a context with that identifier, if there is one.
#[inline(always)]
fn load(ops: *mut bpf_sock_ops, option: &mut [u32; CONTEXT / 4], exid: [u8; 2]) -> bool {
    option[0] = u32::from_le_bytes([KIND, 4, exid[0], exid[1]]);
    let found = unsafe { bpf_load_hdr_opt(ops, option.as_mut_ptr().cast(), CONTEXT as u32, 0) };
    found == CONTEXT as i64
}

#[inline(always)]
fn store<const N: usize>(ops: *mut bpf_sock_ops, option: &[u8; N]) -> bool {
    unsafe { bpf_store_hdr_opt(ops, option.as_ptr().cast(), N as u32, 0) == 0 }
}

/// Asks for so many bytes; whether there are.
#[inline(always)]
fn room(ops: *mut bpf_sock_ops, bytes: usize) -> bool {
    unsafe { bpf_reserve_hdr_opt(ops, bytes as u32, 0) == 0 }
}

/// Sequence number of the segment at hand.
#[inline(always)]
fn sequence(ops: *mut bpf_sock_ops) -> Option<u32> {
    /// Where it stands in a TCP header (RFC 9293 §3.1), and its length.
    const AT: usize = 4;
    const HEADER: usize = 20;
    let data = field!(ops, __bindgen_anon_3.skb_data) as usize;
    let end = field!(ops, __bindgen_anon_4.skb_data_end) as usize;
    if data + HEADER > end {
        return None;
    }
    Some(u32::from_be(unsafe { ptr::read_volatile((data + AT) as *const u32) }))
}

/// Sets and takes away flags of the socket, and leaves those of others.
#[inline(always)]
pub(crate) fn change(ops: *mut bpf_sock_ops, set: u32, clear: u32) {
    let flags = field!(ops, bpf_sock_ops_cb_flags) & !clear | set;
    unsafe { bpf_sock_ops_cb_flags_set(ops, flags as i32) };
}

/// What tells us from other agents.
#[inline(always)]
fn agent() -> [u8; 4] {
    // Of the trace ids' half of the seed nothing can be seen by it.
    spanwire_ebpf::id::agent(config::seed()).to_le_bytes()
}

/// Whether the socket is of the one network namespace that is traced.
#[inline(always)]
pub(crate) fn is_ours(ops: *mut bpf_sock_ops) -> bool {
    let wanted = config::network_namespace_cookie();
    // A constant to the verifier: kernels without this helper never see the call.
    wanted == 0 || unsafe { bpf_get_netns_cookie(ops.cast::<c_void>()) } == wanted
}

/// Whether an agent has answered at the other end of a connection that is made.
#[inline(always)]
pub(crate) fn has_agent(ops: *mut bpf_sock_ops) -> bool {
    holds(ops, NOT_SAMPLED, ANSWER, 0)
}

/// Where a connection goes, if it may be asked there for an agent: not on this host, and to private addresses only unless told
/// otherwise.
#[inline(always)]
fn destination(ops: *mut bpf_sock_ops) -> Option<[u32; 4]> {
    let anywhere = config::has(config_flag::WIRE_ANYWHERE);
    let address = address(ops)?;
    let scope = scope_of(address);
    let may = scope == Scope::Private || scope == Scope::Public && anywhere;
    if may { Some(address) } else { None }
}

/// How far the address reaches where a connection goes.
#[inline(always)]
pub(crate) fn scope(ops: *mut bpf_sock_ops) -> Option<Scope> {
    Some(scope_of(address(ops)?))
}

const MAPPED: u32 = 0xffff_u32.to_be();

/// Where a connection goes: an IPv6 or an IPv4-mapped address.
#[inline(always)]
fn address(ops: *mut bpf_sock_ops) -> Option<[u32; 4]> {
    // All are read first: a choice between two fields becomes one of their addresses, which the verifier refuses.
    let v4 = field!(ops, remote_ip4);
    let v6 = [
        field!(ops, remote_ip6[0]),
        field!(ops, remote_ip6[1]),
        field!(ops, remote_ip6[2]),
        field!(ops, remote_ip6[3]),
    ];
    let family = field!(ops, family);
    if family != Family::Inet as u32 && family != Family::Inet6 as u32 {
        return None;
    }
    Some(if family == Family::Inet as u32 { [0, 0, MAPPED, v4] } else { v6 })
}

#[inline(always)]
fn scope_of(address: [u32; 4]) -> Scope {
    if address[0] == 0 && address[1] == 0 && address[2] == MAPPED {
        spanwire_ebpf::wire::scope_v4(u32::from_be(address[3]))
    } else {
        spanwire_ebpf::wire::scope_v6(
            u32::from_be(address[0]),
            address[1] == 0 && address[2] == 0 && u32::from_be(address[3]) <= 1,
        )
    }
}
