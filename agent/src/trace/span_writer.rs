//! Writes a span as OTLP's protobuf has it (`opentelemetry/proto/trace/v1/trace.proto`), straight from what is known.
//!
//! A span has some twenty attributes. As messages in memory each would be two texts of its own, made and thrown away once for
//! every request of the host; written down at once they are a copy into one buffer. Fields may come in any order
//! (protobuf encoding, "Field Order"). It judges nothing: what is written and by which name, others say.
#![forbid(unsafe_code)]

use std::fmt::{Display, Write as _};
use std::net::{IpAddr, Ipv4Addr};

use opentelemetry_proto::tonic::trace::v1::{Status, span::Link, span::SpanKind};
use prost::Message as _;
use prost::encoding::{WireType, encode_varint, encoded_len_varint};

/// Fields of `Span`.
mod field {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START_TIME: u32 = 7;
    pub(super) const END_TIME: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const LINKS: u32 = 13;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;
}

/// Fields of `KeyValue`.
const KEY: u32 = 1;
/// See [`KEY`].
const VALUE: u32 = 2;
/// Fields of `AnyValue`.
const STRING_VALUE: u32 = 1;
/// See [`STRING_VALUE`].
const BOOL_VALUE: u32 = 2;
/// See [`STRING_VALUE`].
const INT_VALUE: u32 = 3;

/// Where a text lies in what was written.
#[derive(Clone, Copy, Debug)]
pub(in crate::trace) struct Place {
    end: usize,
    len: usize,
}

impl Place {
    /// The text.
    pub(in crate::trace) fn of(self, written: &[u8]) -> &str {
        let bytes = written.get(self.end.saturating_sub(self.len)..self.end);
        // It was a text when it was written.
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }
}

/// The span that is being written, in memory that is used again for the next.
#[derive(Debug, Default)]
pub(in crate::trace) struct SpanWriter {
    bytes: Vec<u8>,
    /// A value that has to be put together first: its length comes before it.
    value: String,
}

impl SpanWriter {
    /// Begins a span; what was written before is forgotten.
    pub(in crate::trace) fn begin(&mut self) {
        self.bytes.clear();
    }

    /// What was written since [`Self::begin`].
    pub(in crate::trace) fn written(&self) -> &[u8] {
        &self.bytes
    }

    /// Trace and span id.
    pub(in crate::trace) fn ids(&mut self, trace: [u8; 16], span: u64) {
        self.field(field::TRACE_ID, &trace);
        self.field(field::SPAN_ID, &span.to_be_bytes());
    }

    /// `tracestate`.
    pub(in crate::trace) fn trace_state(&mut self, state: &str) {
        self.field(field::TRACE_STATE, state.as_bytes());
    }

    /// The parent's span id.
    pub(in crate::trace) fn parent(&mut self, span: u64) {
        self.field(field::PARENT_SPAN_ID, &span.to_be_bytes());
    }

    /// `Span.flags`.
    pub(in crate::trace) fn flags(&mut self, flags: u32) {
        self.key(field::FLAGS, WireType::ThirtyTwoBit);
        self.bytes.extend_from_slice(&flags.to_le_bytes());
    }

    /// The name, of two parts.
    pub(in crate::trace) fn name(&mut self, first: &str, second: Option<&str>) {
        let second = second.map(|second| [" ", second]).unwrap_or_default();
        self.length(field::NAME, first.len() + second[0].len() + second[1].len());
        for part in [first, second[0], second[1]] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
    }

    /// Client or server.
    pub(in crate::trace) fn kind(&mut self, kind: SpanKind) {
        self.key(field::KIND, WireType::Varint);
        self.varint(u64::from(i32::from(kind).unsigned_abs()));
    }

    /// Start and end, ns of Unix time.
    pub(in crate::trace) fn times(&mut self, start: u64, end: u64) {
        for (field, time) in [(field::START_TIME, start), (field::END_TIME, end)] {
            self.key(field, WireType::SixtyFourBit);
            self.bytes.extend_from_slice(&time.to_le_bytes());
        }
    }

    /// A link to another span.
    pub(in crate::trace) fn link(&mut self, link: &Link) {
        self.length(field::LINKS, link.encoded_len());
        link.encode_raw(&mut self.bytes);
    }

    /// The status; one that says nothing is written, too.
    pub(in crate::trace) fn status(&mut self, status: &Status) {
        self.length(field::STATUS, status.encoded_len());
        status.encode_raw(&mut self.bytes);
    }

    /// What another writer wrote.
    pub(in crate::trace) fn copied(&mut self, written: &[u8]) {
        self.bytes.extend_from_slice(written);
    }

    /// An attribute: a text. Where that lies.
    pub(in crate::trace) fn text(&mut self, key: &str, value: &str) -> Place {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        if let Some(Short { begins, goes_on }) = Short::of(key.len(), value.len() + 2) {
            let goes_on = [goes_on[0], goes_on[1], tag(STRING_VALUE), value.len() as u8];
            self.bytes.reserve(key.len() + value.len() + begins.len() + goes_on.len());
            self.bytes.extend_from_slice(&begins);
            self.bytes.extend_from_slice(key);
            self.bytes.extend_from_slice(&goes_on);
        } else {
            self.attribute(key, delimited_len(value.len()));
            self.length(STRING_VALUE, value.len());
        }
        self.bytes.extend_from_slice(value);
        Place { end: self.bytes.len(), len: value.len() }
    }

    /// An attribute: a text that is put together.
    pub(in crate::trace) fn composed(&mut self, key: &str, compose: impl FnOnce(&mut String)) {
        let mut value = std::mem::take(&mut self.value);
        value.clear();
        compose(&mut value);
        self.text(key, &value);
        self.value = value;
    }

    /// An attribute: an address, in its canonical form.
    pub(in crate::trace) fn address(&mut self, key: &str, address: IpAddr) {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let mut text = [0; 15];
                self.text(key, dotted(address, &mut text));
            }
            IpAddr::V6(address) => self.shown(key, address),
        }
    }

    /// An attribute: something as text.
    pub(in crate::trace) fn shown(&mut self, key: &str, value: impl Display) {
        self.composed(key, |text| {
            // Writing into memory does not fail.
            let _ = write!(text, "{value}");
        });
    }

    /// An attribute: a whole number. Counts beyond `i64` saturate: OTLP has no unsigned integer.
    pub(in crate::trace) fn number(&mut self, key: &str, value: impl TryInto<i64>) {
        let value = value.try_into().unwrap_or(i64::MAX).cast_unsigned();
        let key = key.as_bytes();
        let two = value >= 0x80;
        if value < 0x4000
            && let Some(Short { begins, goes_on }) = Short::of(key.len(), 2 + usize::from(two))
        {
            let low = value as u8 & 0x7f | u8::from(two) << 7;
            let value = [goes_on[0], goes_on[1], INT_TAG, low, (value >> 7) as u8];
            self.bytes.reserve(begins.len() + key.len() + value.len());
            self.bytes.extend_from_slice(&begins);
            self.bytes.extend_from_slice(key);
            self.bytes.extend_from_slice(if two { &value } else { &value[..4] });
            return;
        }
        self.attribute(key, 1 + encoded_len_varint(value));
        self.key(INT_VALUE, WireType::Varint);
        self.varint(value);
    }

    /// An attribute: yes or no.
    pub(in crate::trace) fn truth(&mut self, key: &str, value: bool) {
        self.attribute(key.as_bytes(), 2);
        self.key(BOOL_VALUE, WireType::Varint);
        self.varint(u64::from(value));
    }

    /// The attributes written so far.
    #[cfg(test)]
    pub(in crate::trace) fn attributes(
        &self,
    ) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
        opentelemetry_proto::tonic::trace::v1::Span::decode(self.written()).unwrap().attributes
    }

    /// The beginning of an attribute whose `AnyValue` is so long.
    fn attribute(&mut self, key: &[u8], value: usize) {
        self.length(field::ATTRIBUTES, delimited_len(key.len()) + delimited_len(value));
        self.field(KEY, key);
        self.length(VALUE, value);
    }

    fn field(&mut self, number: u32, bytes: &[u8]) {
        self.length(number, bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    fn length(&mut self, number: u32, length: usize) {
        self.key(number, WireType::LengthDelimited);
        self.varint(length as u64);
    }

    fn key(&mut self, number: u32, kind: WireType) {
        self.varint(u64::from(number << 3 | kind as u32));
    }

    /// Nearly all of them are a single byte.
    #[inline]
    fn varint(&mut self, value: u64) {
        match u8::try_from(value) {
            Ok(byte @ ..0x80) => self.bytes.push(byte),
            _ => encode_varint(value, &mut self.bytes),
        }
    }
}

/// An IPv4 address as text: what `Display` writes, for which every span of a host would pay more than for all its numbers.
fn dotted(address: Ipv4Addr, text: &mut [u8; 15]) -> &str {
    let mut len = 0;
    let mut put = |byte| {
        text[len] = byte;
        len += 1;
    };
    for (at, part) in address.octets().into_iter().enumerate() {
        if at > 0 {
            put(b'.');
        }
        if part >= 100 {
            put(b'0' + part / 100);
        }
        if part >= 10 {
            put(b'0' + part / 10 % 10);
        }
        put(b'0' + part % 10);
    }
    // Digits and dots are text.
    std::str::from_utf8(&text[..len]).unwrap_or_default()
}

/// An attribute all of whose lengths are a byte each, as those of nearly all are: what comes before its key, and what comes between that and
/// its `AnyValue`.
struct Short {
    begins: [u8; 4],
    goes_on: [u8; 2],
}

impl Short {
    /// Where key and `AnyValue` are so long.
    fn of(key: usize, value: usize) -> Option<Self> {
        let whole = key + value + 4;
        (whole < 0x80).then(|| Self {
            begins: [tag(field::ATTRIBUTES), whole as u8, tag(KEY), key as u8],
            goes_on: [tag(VALUE), value as u8],
        })
    }
}

/// The tag of [`INT_VALUE`].
const INT_TAG: u8 = (INT_VALUE << 3 | WireType::Varint as u32) as u8;

/// The tag of a field with a length, of a number below 16.
const fn tag(field: u32) -> u8 {
    (field << 3 | WireType::LengthDelimited as u32) as u8
}

/// Bytes of a field with a length: of a number below 16, as all those inside an attribute are.
fn delimited_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::service::attribute::{number, text, truth};

    fn link() -> Link {
        Link {
            trace_id: vec![3; 16],
            span_id: vec![4; 8],
            attributes: vec![text("a", "b")],
            flags: 0x101,
            ..Link::default()
        }
    }

    proptest! {
        /// prost reads what was meant, whatever the lengths.
        #[test]
        fn what_is_written_is_what_is_read(
            trace: [u8; 16], id: u64, parent: Option<u64>, flags: u32, times: (u64, u64),
            name: String, route: Option<String>, state: String,
            texts in prop::collection::vec((".{0,200}", ".{0,300}"), 0..5),
            numbers in prop::collection::vec(
                ("[a-z.]{1,9}|[a-z.]{100,140}", prop_oneof![any::<i64>(), 0..0x8000_i64]), 0..9
            ),
            answer: bool, linked: bool, failed: bool,
        ) {
            let mut writer = SpanWriter::default();
            // Of what was written before nothing is left.
            writer.text("old", "old");
            writer.begin();
            writer.ids(trace, id);
            writer.trace_state(&state);
            if let Some(parent) = parent {
                writer.parent(parent);
            }
            writer.flags(flags);
            writer.kind(SpanKind::Server);
            writer.times(times.0, times.1);
            for (key, value) in &texts {
                writer.text(key, value);
                writer.shown(key, value);
            }
            for (key, value) in &numbers {
                writer.number(key, *value);
            }
            writer.truth("answer", answer);
            if linked {
                writer.link(&link());
            }
            writer.name(&name, route.as_deref());
            let code = if failed { StatusCode::Error } else { StatusCode::Unset };
            let status = Status { code: code.into(), message: String::new() };
            writer.status(&status);

            let mut attributes: Vec<_> =
                texts.iter().flat_map(|(key, value)| [text(key, value.as_str()), text(key, value.as_str())]).collect();
            attributes.extend(numbers.iter().map(|(key, value)| number(key, *value)));
            attributes.push(truth("answer", answer));
            let expected = Span {
                trace_id: trace.to_vec(),
                span_id: id.to_be_bytes().to_vec(),
                trace_state: state,
                parent_span_id: parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
                flags,
                name: route.map_or(name.clone(), |route| format!("{name} {route}")),
                kind: SpanKind::Server.into(),
                start_time_unix_nano: times.0,
                end_time_unix_nano: times.1,
                attributes,
                links: linked.then(link).into_iter().collect(),
                status: Some(status),
                ..Span::default()
            };
            prop_assert_eq!(Span::decode(writer.written()), Ok(expected));
        }
    }

    proptest! {
        #[test]
        fn an_address_is_written_as_everybody_writes_it(address: Ipv4Addr) {
            let mut text = [0; 15];
            prop_assert_eq!(dotted(address, &mut text), address.to_string());
        }
    }

    #[test]
    fn counts_that_otlp_has_no_number_for_are_its_largest() {
        let mut writer = SpanWriter::default();
        writer.number("a", u64::MAX);
        let span = Span::decode(writer.written()).unwrap();
        assert_eq!(span.attributes, [number("a", i64::MAX)]);
    }
}
