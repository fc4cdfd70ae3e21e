//! Captures made by hand, through the whole pipeline: whatever happened on the wire, each request is one span.

use std::io::Cursor;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use proptest::prelude::*;

use super::*;
use crate::pipeline::Pipeline;
use crate::trace::{FinishedSpan, Settings};

const SYN: u8 = 2;
const FIN: u8 = 1;
const RST: u8 = 4;
const ACK: u8 = 16;

const MS: u64 = 1_000_000;
/// When captures begin, ns since 1970.
const BEGIN: u64 = 1_700_000_000_000_000_000;
/// Where sequence numbers of client and server begin: close to their end.
const ISN: [u32; 2] = [u32::MAX - 30, 7];

const GET: &[u8] = b"GET /a?b=c HTTP/1.1\r\nHost: shop\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// An IP packet, and when it passed.
#[derive(Clone, Debug)]
struct Sent {
    at: u64,
    ip: Vec<u8>,
}

/// A conversation on the wire.
#[derive(Clone, Debug)]
struct Wire {
    six: bool,
    ports: [u16; 2],
    next: [u32; 2],
    at: u64,
    sent: Vec<Sent>,
}

impl Wire {
    fn new() -> Self {
        Self { six: false, ports: [40_000, 8080], next: ISN, at: BEGIN, sent: Vec::new() }
    }

    /// Who sends: 0 the client, 1 the server.
    fn packet(&mut self, who: usize, flags: u8, payload: &[u8]) -> &mut Self {
        let sequence = self.next[who];
        self.raw(who, flags, sequence, payload);
        let extra = u32::from(flags & (SYN | FIN) != 0);
        self.next[who] = sequence.wrapping_add(u32::try_from(payload.len()).unwrap() + extra);
        self
    }

    fn raw(&mut self, who: usize, flags: u8, sequence: u32, payload: &[u8]) {
        let mut tcp = Vec::new();
        tcp.extend(self.ports[who].to_be_bytes());
        tcp.extend(self.ports[1 - who].to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        let acknowledged = if flags & ACK == 0 { 0 } else { self.next[1 - who] };
        tcp.extend(acknowledged.to_be_bytes());
        tcp.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(payload);
        let ip = if self.six { ip6(who, &tcp) } else { ip4(who, &tcp) };
        self.at += MS;
        self.sent.push(Sent { at: self.at, ip });
    }

    fn handshake(&mut self) -> &mut Self {
        self.packet(0, SYN, b"").packet(1, SYN | ACK, b"").packet(0, ACK, b"")
    }

    fn exchange(&mut self) -> &mut Self {
        self.packet(0, ACK, GET).packet(1, ACK, OK).packet(0, ACK, b"")
    }

    fn close(&mut self) -> &mut Self {
        self.packet(0, ACK | FIN, b"").packet(1, ACK | FIN, b"").packet(0, ACK, b"")
    }
}

fn ip4(who: usize, tcp: &[u8]) -> Vec<u8> {
    let ends = [[10, 0, 0, 1], [10, 0, 0, 2]];
    let len = u16::try_from(20 + tcp.len()).unwrap().to_be_bytes();
    let mut ip = vec![0x45, 0, len[0], len[1], 0, 0, 0x40, 0, 64, 6, 0, 0];
    ip.extend(ends[who]);
    ip.extend(ends[1 - who]);
    ip.extend(tcp);
    ip
}

fn ip6(who: usize, tcp: &[u8]) -> Vec<u8> {
    let end = |n: usize| {
        let mut end = [0; 16];
        end[0] = 0xfd;
        end[15] = u8::try_from(n).unwrap() + 1;
        end
    };
    let len = u16::try_from(tcp.len()).unwrap().to_be_bytes();
    let mut ip = vec![0x60, 0, 0, 0, len[0], len[1], 6, 64];
    ip.extend(end(who));
    ip.extend(end(1 - who));
    ip.extend(tcp);
    ip
}

/// A frame of that link type.
fn frame(link: u32, ip: &[u8]) -> Vec<u8> {
    let kind: [u8; 2] = if ip[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
    let mut frame = match link {
        0 => vec![2, 0, 0, 0],
        1 => [&[0; 12][..], &kind].concat(),
        // Two VLAN tags.
        0x1_0001 => [&[0; 12][..], &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7], &kind].concat(),
        101 => vec![],
        113 => [&[0; 14][..], &kind].concat(),
        276 => [&kind[..], &[0; 18]].concat(),
        other => panic!("{other}"),
    };
    frame.extend(ip);
    if link == 1 {
        // Ethernet fills short frames up.
        frame.resize(frame.len().max(60), 0);
    }
    frame
}

/// A pcap file; `big`: in the byte order of the network; `unit`: ns of its clock.
fn pcap(sent: &[Sent], link: u32, big: bool, unit: u64, snap: usize) -> Vec<u8> {
    let word = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut file = Vec::new();
    file.extend(word(if unit == 1 { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    file.extend(if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
    for n in [0, 0, 262_144, link & 0xffff] {
        file.extend(word(n));
    }
    for Sent { at, ip } in sent {
        let frame = frame(link, ip);
        let kept = frame.len().min(snap);
        let fraction = u32::try_from(at % 1_000_000_000 / unit).unwrap();
        file.extend(word(u32::try_from(at / 1_000_000_000).unwrap()));
        file.extend(word(fraction));
        file.extend(word(u32::try_from(kept).unwrap()));
        file.extend(word(u32::try_from(frame.len()).unwrap()));
        file.extend(&frame[..kept]);
    }
    file
}

/// A pcapng file with a clock of nanoseconds.
fn pcapng(sent: &[Sent], link: u32) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let len = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &len, body, &len].concat()
    };
    let mut header = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    header.extend([1, 0, 0, 0]);
    header.extend([0xff; 8]);
    let mut interface = u16::try_from(link & 0xffff).unwrap().to_le_bytes().to_vec();
    interface.extend([0, 0, 0, 0, 4, 0]);
    // if_tsresol: 10^-9, then the end of options.
    interface.extend([9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
    let mut file = block(0x0a0d_0d0a, &header);
    file.extend(block(1, &interface));
    for Sent { at, ip } in sent {
        let frame = frame(link, ip);
        let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
        let mut body = 0_u32.to_le_bytes().to_vec();
        body.extend(u32::try_from(at >> 32).unwrap().to_le_bytes());
        body.extend(u32::try_from(at & 0xffff_ffff).unwrap().to_le_bytes());
        body.extend([len, len].concat());
        body.extend(&frame);
        body.resize(body.len().next_multiple_of(4), 0);
        file.extend(block(6, &body));
    }
    file
}

fn told(file: Vec<u8>) -> (Vec<FinishedSpan>, Counters) {
    let mut capture = Capture::new(Cursor::new(file)).unwrap();
    let mut pipeline = Pipeline::new(capture.seed(), Settings::default());
    let mut spans = Vec::new();
    for input in &mut capture {
        pipeline.feed(input.unwrap(), &mut spans);
    }
    pipeline.finish(&mut spans);
    let mut counters = Counters::default();
    capture.count_into(&mut counters);
    pipeline.count(&mut counters);
    (spans.into_iter().map(FinishedSpan::from).collect(), counters)
}

fn spans(wire: &Wire) -> Vec<FinishedSpan> {
    told(pcap(&wire.sent, 1, false, 1000, usize::MAX)).0
}

fn count(counters: &Counters, group: &str, name: &str) -> u64 {
    let group = counters.groups.iter().find(|known| known.name == group).unwrap();
    group.counters.iter().find(|counter| counter.name == name).unwrap().value
}

fn attribute(span: &FinishedSpan, key: &str) -> Option<String> {
    let found = span.span.attributes.iter().chain(&span.service.resource.attributes);
    let found = found.filter(|known| known.key == key).find_map(|known| known.value.clone())?;
    Some(match found.value? {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// What of spans does not depend on when packets passed.
fn summary(spans: &[FinishedSpan]) -> Vec<String> {
    let mut lines: Vec<_> = spans
        .iter()
        .map(|span| {
            let of = |key| attribute(span, key).unwrap_or_default();
            format!(
                "{} {} {} {} {} {}",
                span.service.name,
                span.span.name,
                of("url.path"),
                of("http.response.status_code"),
                of("http.response.body.size"),
                of("error.type")
            )
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn an_exchange_is_one_span_whatever_wrote_it_down() {
    let mut wire = Wire::new();
    wire.handshake().exchange().close();
    let mut six = Wire { six: true, ..Wire::new() };
    six.handshake().exchange().close();
    for (wire, service) in [(&wire, "10.0.0.2:8080"), (&six, "[fd00::2]:8080")] {
        for link in [1, 0x1_0001, 101, 113, 276, 0] {
            for file in [
                pcap(&wire.sent, link, false, 1000, usize::MAX),
                pcap(&wire.sent, link, true, 1, usize::MAX),
                pcapng(&wire.sent, link),
            ] {
                let (spans, counters) = told(file);
                let [span] = spans.as_slice() else { panic!("link {link}: {spans:?}") };
                assert_eq!(summary(&spans), [format!("{service} GET /a 200 5 ")]);
                assert_eq!(span.span.kind, SpanKind::Server as i32);
                assert_eq!(span.span.start_time_unix_nano, BEGIN + 4 * MS);
                assert_eq!(span.span.end_time_unix_nano, BEGIN + 5 * MS);
                assert_eq!(attribute(span, "service.instance.id").as_deref(), Some(service));
                for nobodys in ["process.pid", "spanwire.process.pid", "os.type", "host.name"] {
                    assert_eq!(attribute(span, nobodys), None, "{nobodys}");
                }
                assert_eq!(count(&counters, "pcap", "packets"), 9);
                assert_eq!(count(&counters, "pcap", "connections"), 1);
            }
        }
    }
}

#[test]
fn two_replays_are_equal_and_two_captures_are_not() {
    let mut wire = Wire::new();
    wire.handshake().exchange();
    let (one, two) = (spans(&wire), spans(&wire));
    assert_eq!(one[0].span, two[0].span);
    wire.sent[0].at += 1000;
    assert_ne!(one[0].span.trace_id, spans(&wire)[0].span.trace_id);
}

#[test]
fn the_handshake_may_be_missing() {
    // By what is said first, whoever says it and whatever the ports are.
    for ports in [[40_000, 8080], [80, 40_000]] {
        let mut wire = Wire { ports, ..Wire::new() };
        wire.exchange();
        let expected = format!("10.0.0.2:{} GET /a 200 5 ", ports[1]);
        assert_eq!(summary(&spans(&wire)), [expected.as_str()]);
        let mut wire = Wire { ports, ..Wire::new() };
        wire.packet(1, ACK, b"HTTP/1.1 204 OK\r\nDate: now\r\n\r\n").exchange();
        assert_eq!(summary(&spans(&wire)), [expected]);
    }
    // Else by the lower port.
    let mut wire = Wire::new();
    wire.packet(0, ACK, b"rest of a body").exchange();
    assert_eq!(summary(&spans(&wire)), ["10.0.0.2:8080 GET /a 200 5 "]);
}

#[test]
fn what_is_sent_again_or_out_of_order_is_there_once() {
    let mut clean = Wire::new();
    clean.handshake();
    let (mut get, mut ok) = (GET.chunks(7), OK.chunks(9));
    for part in get.by_ref() {
        clean.packet(0, ACK, part);
    }
    for part in ok.by_ref() {
        clean.packet(1, ACK, part);
    }
    clean.close();
    let expected = summary(&spans(&clean));
    assert_eq!(expected, ["10.0.0.2:8080 GET /a 200 5 "]);
    let mut again = clean.clone();
    again.sent = clean.sent.iter().flat_map(|sent| [sent.clone(), sent.clone()]).collect();
    assert_eq!(summary(&spans(&again)), expected);
    let mut swapped = clean.clone();
    swapped.sent.swap(4, 6);
    swapped.sent.swap(10, 11);
    for (i, sent) in swapped.sent.iter_mut().enumerate() {
        sent.at = BEGIN + i as u64 * MS;
    }
    assert_eq!(summary(&spans(&swapped)), expected);
    // Lost on the way, and sent again when the timer ran out.
    let mut late = clean.clone();
    let lost = late.sent.remove(4);
    let at = late.sent[6].at;
    for sent in &mut late.sent[7..] {
        sent.at += 900 * MS;
    }
    late.sent.insert(7, Sent { at: at + 800 * MS, ..lost });
    let (told, counters) = told(pcap(&late.sent, 1, false, 1, usize::MAX));
    assert_eq!(summary(&told), expected);
    assert_eq!(count(&counters, "conn", "bytes_never_announced"), 0);
}

#[test]
fn what_was_not_captured_is_a_gap() {
    let body = [b'x'; 1000];
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let mut wire = Wire::new();
    wire.handshake().packet(0, ACK, GET).packet(1, ACK, head);
    for part in body.chunks(100) {
        wire.packet(1, ACK, part).packet(0, ACK, b"");
    }
    wire.exchange();
    // A part of a body is missed by nobody.
    let mut gap = wire.clone();
    gap.sent.remove(9);
    let (spans, counters) = told(pcap(&gap.sent, 1, false, 1, usize::MAX));
    assert_eq!(summary(&spans), ["10.0.0.2:8080 GET /a 200 1000 ", "10.0.0.2:8080 GET /a 200 5 "]);
    assert_eq!(count(&counters, "conn", "bytes_never_announced"), 100);
    // Without its answer's head a request has no end; the next one has.
    let mut headless = wire.clone();
    headless.sent.remove(4);
    let (spans, _) = told(pcap(&headless.sent, 1, false, 1, usize::MAX));
    assert_eq!(summary(&spans), ["10.0.0.2:8080 GET /a   ", "10.0.0.2:8080 GET /a 200 5 "]);
    assert!(attribute(&spans[0], "spanwire.incomplete").is_some());
    // A request that was not captured is none; nor is the next, which might be the rest of it.
    let mut nameless = wire;
    nameless.sent.remove(3);
    nameless.exchange().close();
    let (spans, _) = told(pcap(&nameless.sent, 1, false, 1, usize::MAX));
    assert_eq!(summary(&spans), ["10.0.0.2:8080 GET /a 200 5 "]);
}

#[test]
fn a_short_snapshot_costs_bodies_only() {
    let mut wire = Wire::new();
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n".to_vec();
    answer.extend([b'x'; 900]);
    wire.handshake().packet(0, ACK, GET).packet(1, ACK, &answer).exchange().close();
    let (spans, counters) = told(pcap(&wire.sent, 1, false, 1, 128));
    assert_eq!(summary(&spans), ["10.0.0.2:8080 GET /a 200 5 ", "10.0.0.2:8080 GET /a 200 900 "]);
    let cut = 14 + 20 + 20 + answer.len() as u64 - 128;
    assert_eq!(count(&counters, "pcap", "bytes_not_captured"), cut);
}

#[test]
fn ends_are_told_as_they_were() {
    let unanswered = |end: &dyn Fn(&mut Wire)| {
        let mut wire = Wire::new();
        wire.handshake().packet(0, ACK, GET);
        end(&mut wire);
        let spans = spans(&wire);
        assert_eq!(spans.len(), 1);
        attribute(&spans[0], "error.type")
    };
    let reset = unanswered(&|wire: &mut Wire| _ = wire.packet(0, ACK | RST, b""));
    assert_eq!(reset.as_deref(), Some("connection_reset"));
    let aborted = unanswered(&|wire: &mut Wire| _ = wire.packet(1, ACK | RST, b""));
    assert_eq!(aborted.as_deref(), Some("connection_closed"));
    let closed = unanswered(&|wire: &mut Wire| _ = wire.close());
    assert_eq!(closed.as_deref(), Some("connection_closed"));
    // The capture's end is nobody's failure.
    assert_eq!(unanswered(&|_| ()), None);
    // Until the connection closes.
    let mut wire = Wire::new();
    wire.handshake().packet(0, ACK, GET).packet(1, ACK, b"HTTP/1.0 200 OK\r\n\r\nall of it");
    wire.packet(1, ACK | FIN, b"").packet(0, ACK | FIN, b"").packet(1, ACK, b"");
    assert_eq!(summary(&spans(&wire)), ["10.0.0.2:8080 GET /a 200 9 "]);
}

#[test]
fn ports_are_used_again() {
    let mut wire = Wire::new();
    wire.handshake().exchange().close();
    wire.next = [1000, 2000];
    wire.handshake().exchange();
    // Nobody said goodbye this time.
    wire.next = [9000, 1];
    wire.handshake().exchange().packet(0, ACK | RST, b"");
    let (spans, counters) = told(pcap(&wire.sent, 1, false, 1, usize::MAX));
    assert_eq!(summary(&spans), ["10.0.0.2:8080 GET /a 200 5 "; 3]);
    assert_eq!(count(&counters, "pcap", "connections"), 3);
}

#[test]
fn other_packets_are_counted() {
    let mut wire = Wire::new();
    wire.handshake().exchange();
    let mut odd = wire.sent.clone();
    let at = odd[0].at;
    let mut add = |ip: Vec<u8>| odd.push(Sent { at, ip });
    let mut udp = ip4(0, &[0; 20]);
    udp[9] = 17;
    add(udp);
    let mut fragment = ip4(0, &[0; 20]);
    fragment[6] = 0x20;
    add(fragment);
    add(ip4(0, &[0; 10]));
    let (spans, counters) = told(pcap(&odd, 1, false, 1, usize::MAX));
    assert_eq!(spans.len(), 1);
    for (name, expected) in
        [("packets_not_tcp", 1), ("packets_fragmented", 1), ("packets_malformed", 1)]
    {
        assert_eq!(count(&counters, "pcap", name), expected, "{name}");
    }
    let (spans, counters) = told(pcap(&wire.sent, 113, false, 1, 20));
    assert!(spans.is_empty());
    assert_eq!(count(&counters, "pcap", "packets_malformed"), 6);
}

#[test]
fn what_is_no_capture_is_a_clear_error() {
    let error = |file: &[u8]| match Capture::new(Cursor::new(file.to_vec())) {
        Err(error) => error.to_string(),
        Ok(mut capture) => match capture.find_map(Result::err) {
            Some(error) => error.to_string(),
            None => format!("none; truncated: {}", capture.is_truncated()),
        },
    };
    let mut wire = Wire::new();
    wire.handshake().exchange();
    let good = pcap(&wire.sent, 1, false, 1000, usize::MAX);
    let next = pcapng(&wire.sent, 1);
    assert_eq!(error(b""), "this is no packet capture (pcap or pcapng)");
    assert_eq!(error(b"spanwire"), "this is no packet capture (pcap or pcapng)");
    assert_eq!(error(&good[..10]), "the capture is corrupt after 0 packets: it ends in its header");
    assert_eq!(error(&good), "none; truncated: false");
    assert_eq!(error(&good[..good.len() - 1]), "none; truncated: true");
    assert_eq!(error(&next[..next.len() - 1]), "none; truncated: true");
    // The second packet's interface is not described.
    let mut strange = next.clone();
    let first = 28 + 32;
    strange[first + 8] = 9;
    assert_eq!(
        error(&strange),
        "the capture is corrupt after 0 packets: a packet of interface 9, which is not described"
    );
    let mut torn = next;
    let len = torn.len();
    torn[len - 2] ^= 0xff;
    assert_eq!(error(&torn), "the capture is corrupt after 5 packets: a block contradicts itself");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_disorder_gives_the_same_spans(
        cut in 1usize..40,
        moves in prop::collection::vec((0usize..60, 0usize..6), 0..12),
        again in prop::collection::vec(0usize..60, 0..12),
    ) {
        let mut wire = Wire::new();
        wire.handshake();
        for _ in 0..3 {
            for part in GET.chunks(cut) {
                wire.packet(0, ACK, part);
            }
            for part in OK.chunks(cut) {
                wire.packet(1, ACK, part);
            }
        }
        let expected = summary(&spans(&wire));
        prop_assert_eq!(expected.len(), 3);
        // Within a direction, and near: what a network does to packets that are under way together.
        for (at, by) in moves {
            let (one, two) = (3 + at, 3 + at + by);
            if two < wire.sent.len() && wire.sent[one].ip[12..20] == wire.sent[two].ip[12..20]
                && wire.sent[one..=two].iter().all(|s| s.ip[12..20] == wire.sent[one].ip[12..20])
            {
                wire.sent.swap(one, two);
            }
        }
        for at in again {
            if let Some(sent) = wire.sent.get(3 + at).cloned() {
                wire.sent.insert(4 + at, sent);
            }
        }
        for (i, sent) in wire.sent.iter_mut().enumerate() {
            sent.at = BEGIN + i as u64 * MS;
        }
        prop_assert_eq!(summary(&spans(&wire)), expected);
    }

    #[test]
    fn any_bytes_are_an_error_or_an_end(
        changes in prop::collection::vec((0usize..2000, any::<u8>()), 0..20),
        next in any::<bool>(),
        end in 0usize..2000,
    ) {
        let mut wire = Wire::new();
        wire.handshake().exchange().exchange().close();
        let mut file =
            if next { pcapng(&wire.sent, 1) } else { pcap(&wire.sent, 1, false, 1, usize::MAX) };
        for (at, byte) in changes {
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
        }
        file.truncate(end);
        if let Ok(capture) = Capture::new(Cursor::new(file)) {
            let mut pipeline = Pipeline::new(capture.seed(), Settings::default());
            let mut spans = Vec::new();
            for input in capture.map_while(Result::ok) {
                pipeline.feed(input, &mut spans);
            }
            pipeline.finish(&mut spans);
        }
    }
}
