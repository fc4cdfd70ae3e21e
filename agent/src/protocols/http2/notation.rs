//! Frames written as text, for talks: several of a line are separated by `;`.
//!
//! | text | frame |
//! |---|---|
//! | `PREFACE`, `SETTINGS`, `ACK`, `PING`, `WINDOW` | as their names say |
//! | `HEADERS 1 FLAGS FIELDS`, `CONTINUATION 1 FLAGS FIELDS`, `PUSH 1 2 FLAGS FIELDS` | a header block, or a part of one |
//! | `DATA 1 FLAGS text`, `DATA 1 FLAGS =500` | DATA with that text; only the header of so many octets |
//! | `MESSAGE 1 FLAGS 500` | DATA with a gRPC message of so many octets |
//! | `RST 1 8`, `GOAWAY 1 0` | stream and error code |
//!
//! Flags: `end` of the stream, `open` (the block goes on), `pad` (three octets), `prio`. Fields: `name=value` is not
//! inserted in the table, `+name=value` is, `#62` is an index; `_` in a value is a space.
#![forbid(unsafe_code)]

use super::frame::{flag, kind};
use super::framer::PREFACE;

/// The frames as they are sent.
pub(in crate::protocols) fn frames(text: &str) -> Vec<u8> {
    text.split(';').flat_map(|text| written(text.trim())).collect()
}

fn written(text: &str) -> Vec<u8> {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or_default();
    let mut words: Vec<&str> = words.collect();
    let flags: Vec<&str> =
        words.extract_if(.., |word| matches!(*word, "end" | "open" | "pad" | "prio")).collect();
    let has = |flag: &str| flags.contains(&flag);
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<u32>().unwrap());
    let words_from = |at: usize| words.get(at..).unwrap_or_default();
    let end = if has("end") { flag::END_STREAM } else { 0 };
    let end_headers = if has("open") { 0 } else { flag::END_HEADERS };
    let stream = number(0);
    let mut flags = 0;
    let mut length = None;
    let (kind, stream, mut payload) = match name {
        "PREFACE" => return PREFACE.to_vec(),
        "SETTINGS" => (kind::SETTINGS, 0, vec![0, 3, 0, 0, 0, 100]),
        "ACK" => {
            flags = flag::ACK;
            (kind::SETTINGS, 0, Vec::new())
        }
        "PING" => (kind::PING, 0, vec![7; 8]),
        "WINDOW" => (kind::WINDOW_UPDATE, 0, vec![0, 1, 0, 0]),
        "HEADERS" => {
            flags = end | end_headers;
            (kind::HEADERS, stream, fields(words_from(1)))
        }
        "CONTINUATION" => {
            flags = end_headers;
            (kind::CONTINUATION, stream, fields(words_from(1)))
        }
        "PUSH" => {
            flags = end_headers;
            let promised = number(1).to_be_bytes();
            (kind::PUSH_PROMISE, stream, [&promised[..], &fields(words_from(2))].concat())
        }
        "DATA" => {
            flags = end;
            let text = words_from(1).join(" ");
            length = text.strip_prefix('=').map(|length| length.parse().unwrap());
            (kind::DATA, stream, if length.is_some() { Vec::new() } else { text.into_bytes() })
        }
        "MESSAGE" => {
            flags = end;
            (kind::DATA, stream, message(number(1)))
        }
        "RST" => (kind::RST_STREAM, stream, number(1).to_be_bytes().to_vec()),
        "GOAWAY" => (kind::GOAWAY, 0, [stream.to_be_bytes(), number(1).to_be_bytes()].concat()),
        other => panic!("no such frame: {other}"),
    };
    if has("prio") {
        flags |= flag::PRIORITY;
        payload.splice(0..0, [0, 0, 0, 0, 15]);
    }
    if has("pad") {
        flags |= flag::PADDED;
        payload.insert(0, 3);
        payload.extend([0; 3]);
    }
    frame(kind, flags, stream, &payload, length)
}

/// A frame; `length` stands for a payload that is not there.
pub(super) fn frame(
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &[u8],
    length: Option<u32>,
) -> Vec<u8> {
    let length = length.unwrap_or_else(|| u32::try_from(payload.len()).unwrap());
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A gRPC message of so many octets.
pub(super) fn message(octets: u32) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(octets.to_be_bytes());
    bytes.resize(bytes.len() + octets as usize, b'm');
    bytes
}

fn fields(words: &[&str]) -> Vec<u8> {
    let mut block = Vec::new();
    for word in words {
        if let Some(index) = word.strip_prefix('#') {
            block.push(0x80 | index.parse::<u8>().unwrap());
            continue;
        }
        let (first, field) = word.strip_prefix('+').map_or((0x00, *word), |field| (0x40, field));
        let at = field[1..].find('=').unwrap() + 1;
        block.push(first);
        for text in [&field[..at], &field[at + 1..].replace('_', " ")] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    block
}
