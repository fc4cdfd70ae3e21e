//! Exact text.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Status, status::StatusCode};

use super::*;
use crate::export::sample;

const MS: u64 = 1_000_000;
const STYLE: Style = Style { width: 72, color: false };

/// A span of trace `trace`: id, parent (0: none), start and length in ms.
fn span(service: &str, trace: u8, id: u64, parent: u64, start: u64, ms: u64) -> FinishedSpan {
    let mut out = sample::outgoing(&sample::service(service), "spanwire/http1", id);
    out.span.trace_id = vec![trace; 16];
    if parent != 0 {
        out.span.parent_span_id = parent.to_be_bytes().to_vec();
    }
    out.span.start_time_unix_nano = 1_700_000_000_000_000_000 + start * MS;
    out.span.end_time_unix_nano = out.span.start_time_unix_nano + ms * MS;
    out
}

fn server(mut span: FinishedSpan, path: &str, status: i64) -> FinishedSpan {
    span.span.attributes = vec![
        sample::text("http.request.method", "GET"),
        sample::text("url.path", path),
        sample::number("http.response.status_code", status),
    ];
    failed_if(span, status >= 500)
}

fn client(mut span: FinishedSpan, url: &str, status: i64) -> FinishedSpan {
    span.span.kind = SpanKind::Client.into();
    span.span.attributes = vec![
        sample::text("http.request.method", "GET"),
        sample::text("url.full", url),
        sample::number("http.response.status_code", status),
    ];
    failed_if(span, status >= 400)
}

fn failed_if(mut span: FinishedSpan, failed: bool) -> FinishedSpan {
    if failed {
        span.span.status = Some(Status { message: String::new(), code: StatusCode::Error.into() });
    }
    span
}

fn checkout() -> Vec<FinishedSpan> {
    // As they finish: the innermost first.
    vec![
        server(span("inventory", 7, 5, 4, 12, 20), "/stock", 200),
        client(span("orders", 7, 4, 3, 11, 25), "http://inventory:80/stock", 200),
        client(span("orders", 7, 6, 3, 40, 150), "https://payments/pay?card=1", 503),
        server(span("orders", 7, 3, 2, 10, 190), "/order", 500),
        client(span("gateway", 7, 2, 1, 5, 200), "http://orders/order", 500),
        server(span("gateway", 7, 1, 0, 0, 1_210), "/checkout", 500),
    ]
}

#[test]
fn a_trace_is_a_tree() {
    let mut trees = Trees::new(STYLE);
    assert_eq!(trees.add(checkout(), Nanos(0)), "");
    assert_eq!(trees.tick(Nanos(QUIET - 1)), "");
    assert_eq!(
        trees.tick(Nanos(QUIET)),
        "\
22:13:20.000Z trace 07070707070707070707070707070707 · 6 spans · 1.21 s
gateway GET /checkout                                      500    1.21 s
└─ gateway → GET orders/order                              500  200.0 ms
   └─ orders GET /order                                    500  190.0 ms
      ├─ orders → GET inventory:80/stock                   200   25.0 ms
      │  └─ inventory GET /stock                           200   20.0 ms
      └─ orders → GET https://payments/pay?card=1          503  150.0 ms

"
    );
    assert_eq!(trees.finish(Nanos(QUIET)), "");
    assert_eq!(trees.spans, 0);
}

#[test]
fn errors_are_red() {
    let mut trees = Trees::new(Style { width: 60, color: true });
    let spans = vec![
        server(span("a", 1, 1, 0, 0, 2), "/x", 200),
        server(span("b", 1, 2, 1, 1, 1), "/y", 500),
    ];
    let _ = trees.add(spans, Nanos(0));
    assert_eq!(
        trees.finish(Nanos(0)),
        "\x1b[2m22:13:20.000Z trace 01010101010101010101010101010101 · 2 sp…\x1b[0m\n\
         \x1b[2m\x1b[0m\x1b[36ma\x1b[0m GET /x                                       200 \x1b[2m  2.00 ms\x1b[0m\n\
         \x1b[2m└─ \x1b[0m\x1b[31mb GET /y                                    500   1.00 ms\x1b[0m\n\n"
    );
}

#[test]
fn a_missing_parent_is_waited_for_but_not_for_ever() {
    let mut trees = Trees::new(STYLE);
    let _ = trees.add(vec![server(span("a", 1, 2, 1, 0, 1), "/x", 200)], Nanos(0));
    assert_eq!(trees.tick(Nanos(QUIET_INCOMPLETE - 1)), "");
    assert!(trees.tick(Nanos(QUIET_INCOMPLETE)).contains("a GET /x"));
    // A parent that is known to be elsewhere is not.
    let mut remote = server(span("a", 2, 2, 1, 0, 1), "/x", 200);
    remote.span.flags = 0x301;
    let _ = trees.add(vec![remote], Nanos(0));
    assert!(trees.tick(Nanos(QUIET)).contains("a GET /x"));
}

#[test]
fn new_spans_put_it_off_but_not_for_ever() {
    let mut trees = Trees::new(STYLE);
    let step = QUIET / 2;
    let mut now = 0;
    let mut text = String::new();
    for id in 1.. {
        text = trees.add(vec![server(span("a", 1, id, 0, 0, 1), "/x", 200)], Nanos(now));
        text += &trees.tick(Nanos(now));
        if !text.is_empty() {
            break;
        }
        now += step;
    }
    assert_eq!(now, LONGEST);
    assert!(text.contains("· 121 spans ·"), "{text}");
    assert!(text.ends_with("… 21 more spans\n\n"), "{text}");
}

#[test]
fn a_late_span_is_an_addition() {
    let mut trees = Trees::new(STYLE);
    let _ = trees.add(vec![server(span("a", 1, 1, 0, 0, 1), "/x", 200)], Nanos(0));
    assert_ne!(trees.tick(Nanos(QUIET)), "");
    let _ = trees.add(vec![server(span("b", 1, 2, 1, 0, 1), "/y", 200)], Nanos(QUIET));
    assert_eq!(
        trees.tick(Nanos(2 * QUIET)),
        "\
22:13:20.000Z trace 01010101010101010101010101010101 goes on
b GET /y                                                   200   1.00 ms

"
    );
}

#[test]
fn hostile_text_is_tamed_and_cut() {
    let mut trees = Trees::new(STYLE);
    let path = format!("/\x1b]0;owned\x07\u{202e}{}", "a".repeat(100));
    let _ = trees.add(vec![server(span("e\nvil", 1, 1, 0, 0, 1), &path, 200)], Nanos(0));
    assert_eq!(
        trees.finish(Nanos(0)),
        "\
22:13:20.000Z trace 01010101010101010101010101010101 · 1 span · 1.00 ms
e\u{fffd}vil GET /\u{fffd}]0;owned\u{fffd}\u{fffd}aaaaaaaaaaaaaaaaaaaaaaaaaaaaa…       200   1.00 ms

"
    );
}

#[test]
fn other_spans_show_their_name_and_errors_their_kind() {
    let mut trees = Trees::new(STYLE);
    let mut lost = failed_if(span("a", 1, 1, 0, 0, 1), true);
    lost.span.attributes = vec![sample::text("error.type", "connection_reset")];
    let _ = trees.add(vec![lost], Nanos(0));
    assert!(
        trees.finish(Nanos(0)).contains(
            "\na GET                                                connecti…   1.00 ms\n"
        )
    );
}

#[test]
fn circles_and_twins_are_written_once_each() {
    let spans = vec![
        span("a", 1, 1, 2, 0, 1),
        span("b", 1, 2, 1, 1, 1),
        span("c", 1, 3, 3, 2, 1),
        span("d", 1, 3, 1, 3, 1),
        span("e", 1, 9, 9, 4, 1),
    ];
    let mut trees = Trees::new(STYLE);
    let _ = trees.add(spans, Nanos(0));
    let text = trees.finish(Nanos(0));
    let names: Vec<&str> = text
        .lines()
        .skip(1)
        .filter_map(|l| l.trim_start_matches(['│', '├', '└', '─', ' ']).split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(names, ["c", "e", "a", "b", "d"]);
}

#[test]
fn a_chain_as_long_as_the_store_neither_overflows_nor_grows() {
    let spans: Vec<_> = (1..=20_500).map(|id| span("a", 1, id, id - 1, id, 1)).collect();
    let mut trees = Trees::new(STYLE);
    let text = trees.add(spans, Nanos(0));
    assert!(text.ends_with("… 19900 more spans\n\n"));
    assert_eq!(trees.spans, 500);
    assert!(text.len() < 20_000);
}

#[test]
fn room_is_made_for_many_at_once_by_those_that_were_quiet_longest() {
    let mut trees = Trees::new(STYLE);
    let id = |n: usize| [&[9; 8][..], &n.to_be_bytes()].concat();
    for n in 0..=MOST_SPANS {
        let mut one = span("a", 1, 1, 0, 0, 1);
        one.span.trace_id = id(n);
        let _ = trees.add(vec![one], Nanos(n as u64));
    }
    assert_eq!((trees.spans, trees.open.len()), (MOST_SPANS - ROOM + 1, MOST_SPANS - ROOM + 1));
    assert!(!trees.open.contains_key(&id(ROOM - 1)));
    assert!(trees.open.contains_key(&id(ROOM)));
    assert_eq!(trees.not_shown, (ROOM - 20) as u64);
}

#[test]
fn more_than_a_person_can_read_is_counted() {
    let mut trees = Trees::new(STYLE);
    let spans = (1..=60).map(|trace| server(span("a", trace, 1, 0, 0, 1), "/x", 200)).collect();
    let _ = trees.add(spans, Nanos(0));
    let text = trees.tick(Nanos(QUIET));
    assert_eq!(text.matches("a GET /x").count(), 20);
    let _ = trees.add(vec![server(span("a", 61, 1, 0, 0, 1), "/x", 200)], Nanos(QUIET));
    assert!(trees.tick(Nanos(3 * QUIET)).starts_with("… 40 more traces\n\n22:13"));
    for trace in 0..=u8::MAX {
        let _ = trees.add(vec![span("a", trace, 1, 0, 0, 1)], Nanos(4 * QUIET));
    }
    let _ = trees.tick(Nanos(5 * QUIET));
    assert_eq!(trees.finish(Nanos(5 * QUIET)), "… 236 more traces\n");
}

#[test]
fn a_terminal_may_be_any_width() {
    for width in 0..120 {
        let mut trees = Trees::new(Style { width, color: false });
        let _ = trees.add(checkout(), Nanos(0));
        let text = trees.finish(Nanos(0));
        let longest = text.lines().skip(1).map(text::width).max().unwrap();
        assert_eq!(longest, width.max(40), "{text}");
    }
}
