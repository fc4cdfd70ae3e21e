//! What is HTTP/2, and what is not.
#![forbid(unsafe_code)]

use abi::Direction::{Received, Sent};
use proptest::prelude::*;

use crate::protocols::http2::detect;
use crate::protocols::http2::notation::frames;
use crate::protocols::{Before, Detection};

const BIRTH: Before = Before { from_birth: true, lost: [false; 2] };
const MIDDLE: Before = Before { from_birth: false, lost: [false; 2] };

fn is(bytes: &[u8], before: Before) -> char {
    match detect(bytes, Received, before) {
        Detection::Found(_) => 'y',
        Detection::More => '?',
        Detection::No => 'n',
    }
}

#[test]
fn the_preface_and_settings() {
    let whole = frames("PREFACE; SETTINGS");
    for before in [BIRTH, MIDDLE] {
        for cut in 1..24 + 9 {
            assert_eq!(is(&whole[..cut], before), '?', "{cut}");
        }
        assert_eq!(is(&whole, before), 'y');
        assert_eq!(is(&frames("PREFACE; PING"), before), 'n');
        assert_eq!(is(b"PRI * HTTP/2.0\r\n\r\nXX", before), 'n');
    }
    let lost = Before { lost: [false, true], ..MIDDLE };
    assert_eq!(is(&whole, lost), 'n');
}

#[test]
fn a_server_begins_with_settings_and_goes_on() {
    assert_eq!(is(&frames("SETTINGS"), BIRTH), '?');
    assert_eq!(is(&frames("SETTINGS; ACK"), BIRTH), 'y');
    assert_eq!(is(&frames("SETTINGS; WINDOW"), BIRTH), 'y');
    assert_eq!(is(&frames("SETTINGS; DATA 2 x"), BIRTH), 'n');
    assert_eq!(is(&frames("ACK; SETTINGS"), BIRTH), 'n');
    assert_eq!(is(&frames("HEADERS 1 :method=GET"), BIRTH), 'n');
    assert_eq!(is(&frames("SETTINGS; ACK"), MIDDLE), 'n');
}

#[test]
fn in_the_middle_a_head_is_the_second_fact() {
    for yes in [
        "HEADERS 7 end #3 #6 :path=/a",
        "WINDOW; PING; HEADERS 7 #2",
        "DATA 5 end x; HEADERS 9 #66 #6 #70",
        "HEADERS 9 #8 content-type=text/html",
        "HEADERS 9 pad prio #2",
    ] {
        assert_eq!(is(&frames(yes), MIDDLE), 'y', "{yes}");
    }
    for no in [
        "HEADERS 8 #2",
        "HEADERS 0 #2",
        "HEADERS 7 :path=nothing",
        "HEADERS 7 :status=2x0",
        "HEADERS 7 Name=value",
        "HEADERS 7 :status=200 :unknown=1",
        "HEADERS 7 open #2; PING",
        "CONTINUATION 7 #2",
        "PUSH 7 8 #2",
        "RST 2 0",
    ] {
        assert_eq!(is(&frames(no), MIDDLE), 'n', "{no}");
    }
    for not_yet in ["HEADERS 7", "PING; PING; PING", "HEADERS 7 end grpc-status=0", "DATA 1 =600"] {
        assert_eq!(is(&frames(not_yet), MIDDLE), 'n', "{not_yet}");
    }
    let whole = frames("PING; HEADERS 7 end #3 #6 :path=/a");
    for cut in 18..whole.len() {
        assert_eq!(is(&whole[..cut], MIDDLE), '?', "{cut}");
    }
}

#[test]
fn who_sends_requests_is_the_client() {
    for (text, direction) in
        [("HEADERS 7 #2", Sent), ("HEADERS 7 #2", Received), ("HEADERS 7 #8", Sent)]
    {
        let Detection::Found(reader) = detect(&frames(text), direction, MIDDLE) else {
            panic!("{text}")
        };
        let asks = if text.ends_with("#2") { direction } else { direction.opposite() };
        assert!(format!("{reader:?}").starts_with(&format!("Http2 {{ requests_go: {asks:?}")));
    }
}

/// yamux (hashicorp/yamux spec.md, "Framing"): version, type, flags, stream, length.
fn yamux() -> impl Strategy<Value = Vec<u8>> {
    let frame =
        (0u8..4, 0u16..16, any::<u32>(), 0u32..300).prop_map(|(kind, flags, stream, length)| {
            let stream = stream % 1000;
            let mut bytes = vec![0, kind];
            bytes.extend(flags.to_be_bytes());
            bytes.extend(stream.to_be_bytes());
            bytes.extend(length.to_be_bytes());
            if kind == 0 {
                bytes.resize(bytes.len() + length as usize, b'y');
            }
            bytes
        });
    proptest::collection::vec(frame, 1..8).prop_map(|frames| frames.concat())
}

/// TLS records (RFC 8446 §5.1).
fn tls() -> impl Strategy<Value = Vec<u8>> {
    let record =
        (20u8..24, proptest::collection::vec(any::<u8>(), 0..200)).prop_map(|(kind, body)| {
            let length = u16::try_from(body.len()).unwrap().to_be_bytes();
            [&[kind, 3, 3][..], &length, &body].concat()
        });
    proptest::collection::vec(record, 1..4).prop_map(|records| records.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_is_not_http2_is_not_found(
        bytes in prop_oneof![proptest::collection::vec(any::<u8>(), 0..400), yamux(), tls()],
    ) {
        prop_assert_ne!(is(&bytes, BIRTH), 'y');
        prop_assert_ne!(is(&bytes, MIDDLE), 'y');
    }
}
