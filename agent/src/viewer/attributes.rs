//! A span's attributes, packed: about 150 bytes where OTLP's structures take two thousand.
//!
//! For each attribute: its key (a number of the dictionary plus one, or 0 and the text), a tag, the value. Numbers are
//! LEB128, signed ones zigzag first. Reading ends at the first byte that makes no sense; it must never panic.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

use super::dictionary::{Dictionary, Writer};

const TEXT: u8 = 0;
const SHARED: u8 = 1;
const INT: u8 = 2;
const FLOAT: u8 = 3;
const FALSE: u8 = 4;
const TRUE: u8 = 5;
const JSON: u8 = 6;

/// Longest value that is kept, bytes: a statement fits, a document is cut.
const LONGEST: usize = 16 * 1024;

/// The packed attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes(Box<[u8]>);

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A list, a map or bytes, as OTLP/JSON has them.
    Json(&'a str),
}

impl Attributes {
    /// Packs them.
    pub(crate) fn pack(from: &[KeyValue], dictionary: &mut Writer<'_>) -> Self {
        let mut out = Vec::with_capacity(from.len() * 8);
        for KeyValue { key, value, .. } in from {
            let Some(value) = value.as_ref().and_then(|value| value.value.as_ref()) else {
                continue;
            };
            match dictionary.key(key) {
                Some(number) => write_number(&mut out, u64::from(number) + 1),
                None => {
                    out.push(0);
                    write_text(&mut out, key);
                }
            }
            write_value(&mut out, value, dictionary);
        }
        Self(out.into())
    }

    /// Bytes on the heap.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, in the order in which they came.
    pub(crate) fn iter<'a>(&'a self, dictionary: &'a Dictionary) -> Iter<'a> {
        Iter { rest: &self.0, dictionary }
    }

    /// The value of that key.
    pub(crate) fn get<'a>(&'a self, dictionary: &'a Dictionary, key: &str) -> Option<Value<'a>> {
        self.iter(dictionary).find(|(found, _)| *found == key).map(|(_, value)| value)
    }
}

/// Unpacks one after the other.
pub(crate) struct Iter<'a> {
    rest: &'a [u8],
    dictionary: &'a Dictionary,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = match self.number()? {
            0 => self.text()?,
            number => self.dictionary.text(u32::try_from(number - 1).ok()?)?,
        };
        let (tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        let value = match *tag {
            TEXT => Value::Text(self.text()?),
            SHARED => Value::Text(self.dictionary.text(u32::try_from(self.number()?).ok()?)?),
            INT => {
                let zigzag = self.number()?;
                Value::Int((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
            }
            FLOAT => {
                let (bytes, rest) = self.rest.split_first_chunk()?;
                self.rest = rest;
                Value::Float(f64::from_le_bytes(*bytes))
            }
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            JSON => Value::Json(self.text()?),
            _ => return None,
        };
        Some((key, value))
    }
}

impl<'a> Iter<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }
}

fn write_value(out: &mut Vec<u8>, value: &any_value::Value, dictionary: &mut Writer<'_>) {
    use any_value::Value as Otlp;
    match value {
        Otlp::StringValue(text) => match dictionary.value(text) {
            Some(number) => {
                out.push(SHARED);
                write_number(out, u64::from(number));
            }
            None => {
                out.push(TEXT);
                write_text(out, text);
            }
        },
        Otlp::IntValue(number) => {
            out.push(INT);
            write_number(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
        }
        Otlp::DoubleValue(number) => {
            out.push(FLOAT);
            out.extend(number.to_le_bytes());
        }
        Otlp::BoolValue(truth) => out.push(if *truth { TRUE } else { FALSE }),
        other => {
            out.push(JSON);
            let value = AnyValue { value: Some(other.clone()) };
            write_text(out, &serde_json::to_string(&value).unwrap_or_default());
        }
    }
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(LONGEST)];
    write_number(out, text.len() as u64);
    out.extend(text.as_bytes());
}

impl<'a> Value<'a> {
    /// The text, if it is one.
    pub(crate) const fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a person reads it.
    pub(crate) fn display(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Text(text) | Self::Json(text) => (*text).into(),
            Self::Int(number) => number.to_string().into(),
            Self::Float(number) => number.to_string().into(),
            Self::Bool(truth) => truth.to_string().into(),
        }
    }

    /// As a number, if it is one or reads like one.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            Self::Text(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Bool(_) | Self::Json(_) => None,
        }
    }

    /// As OTLP/JSON and Jaeger have it.
    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => (*text).into(),
            Self::Int(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Bool(truth) => (*truth).into(),
            Self::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| (*text).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(key: &str, value: any_value::Value) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    fn values() -> impl Strategy<Value = any_value::Value> {
        prop_oneof![
            ".{0,40}".prop_map(any_value::Value::StringValue),
            any::<i64>().prop_map(any_value::Value::IntValue),
            (-1e9..1e9).prop_map(any_value::Value::DoubleValue),
            any::<bool>().prop_map(any_value::Value::BoolValue),
        ]
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out(all in prop::collection::vec((".{0,80}", values()), 0..12)) {
            let dictionary = Dictionary::default();
            let from: Vec<_> =
                all.iter().map(|(key, value)| attribute(key, value.clone())).collect();
            // Often enough that values are shared, too.
            for _ in 0..9 {
                let packed = Attributes::pack(&from, &mut dictionary.writer());
                let found: Vec<_> = packed.iter(&dictionary).collect();
                prop_assert_eq!(found.len(), all.len());
                for ((key, value), (found_key, found)) in all.iter().zip(found) {
                    prop_assert_eq!(key, found_key);
                    match value {
                        any_value::Value::StringValue(text) => prop_assert_eq!(found, Value::Text(text)),
                        any_value::Value::IntValue(number) => prop_assert_eq!(found, Value::Int(*number)),
                        any_value::Value::DoubleValue(number) => prop_assert_eq!(found, Value::Float(*number)),
                        any_value::Value::BoolValue(truth) => prop_assert_eq!(found, Value::Bool(*truth)),
                        _ => unreachable!("not made above"),
                    }
                }
            }
        }

        #[test]
        fn rubbish_ends_the_reading(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let dictionary = Dictionary::default();
            prop_assert!(Attributes(bytes.into()).iter(&dictionary).count() <= 32);
        }
    }

    #[test]
    fn a_usual_span_is_small() {
        let dictionary = Dictionary::default();
        let from: Vec<_> = (0..20)
            .map(|i| {
                attribute(&format!("key.number.{i}"), any_value::Value::StringValue("value".into()))
            })
            .collect();
        for _ in 0..10 {
            Attributes::pack(&from, &mut dictionary.writer());
        }
        assert_eq!(Attributes::pack(&from, &mut dictionary.writer()).len(), 60);
    }
}
