//! What HPACK must do: the RFC's own examples, what is refused, and streams of encoders with every legal habit.
#![forbid(unsafe_code)]

pub(in crate::protocols::http2) mod encoder;
mod examples;
mod joined_late;
mod limits;
mod oracle;
mod properties;

use super::{Decoder, Error};

/// A field as known: name, value.
pub(super) type Known = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The fields of a block.
pub(super) fn fields(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Known>, Error> {
    let mut fields = Vec::new();
    let known = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
    decoder.block(block, |field| fields.push((known(field.name), known(field.value))))?;
    Ok(fields)
}

/// The fields of a block of which all is known.
pub(super) fn whole(decoder: &mut Decoder, block: &[u8]) -> Vec<(String, String)> {
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.expect("known")).unwrap();
    let fields = fields(decoder, block).unwrap();
    fields.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// Octets written as the RFC writes them.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
