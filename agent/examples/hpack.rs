//! Decodes HPACK header blocks (RFC 7541): a tool for bug reports.
//!
//! Reads lines from standard input and answers each block at once with one line of JSON:
//!
//! | line | answer |
//! |---|---|
//! | a header block in hex | `[["name", "value"], …]` in order; what is not known is `null` |
//! | the same, malformed | `{"error": "why"}`; from then on the table is unknown |
//! | the same, with more fields than are handed out | `{"fields": […], "left_out": number}` |
//! | no hex at all | `{"error": "why"}`; the block counts as lost, so the table is unknown |
//! | `settings N` | none: SETTINGS_HEADER_TABLE_SIZE is N for the blocks that follow |
//! | `lost` | none: blocks were lost here |
//!
//! The blocks are one direction's of one connection, in the order of the wire. With `--joined-late` they do not begin
//! with the connection's first. Octets that are not UTF-8 are shown as U+FFFD.

use std::io::{BufRead, Write};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use spanwire::protocols::http2::hpack::Decoder;

fn main() -> Result<()> {
    let mut decoder = match std::env::args().nth(1).as_deref() {
        None => Decoder::default(),
        Some("--joined-late") => Decoder::joined_late(),
        Some(_) => bail!("usage: hpack [--joined-late] < BLOCKS"),
    };
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let line = line.trim();
        if let Some(size) = line.strip_prefix("settings ") {
            let size = size.trim().parse().with_context(|| format!("no table size: {size:?}"))?;
            decoder.set_limit(Some(size));
        } else if line == "lost" {
            decoder.lose();
        } else {
            writeln!(out, "{}", block(&mut decoder, line))?;
            out.flush()?;
        }
    }
    Ok(())
}

/// The answer to a block.
fn block(decoder: &mut Decoder, hex: &str) -> Value {
    let Some(bytes) = octets(hex) else {
        decoder.lose();
        return json!({ "error": "no hex digits in pairs" });
    };
    let text =
        |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let mut fields = Vec::new();
    match decoder.block(&bytes, |field| fields.push(json!([text(field.name), text(field.value)]))) {
        Err(error) => json!({ "error": error.to_string() }),
        Ok(decoded) if decoded.left_out > 0 => {
            json!({ "fields": fields, "left_out": decoded.left_out })
        }
        Ok(_) => Value::Array(fields),
    }
}

/// Hex digits in pairs.
fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
