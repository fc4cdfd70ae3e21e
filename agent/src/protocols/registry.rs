//! All protocols, one line each, and the question which of them a connection speaks.
#![forbid(unsafe_code)]

use abi::Direction;

use super::contract::{Before, Detection};
use super::{http1, http2};

/// Tells from the first `bytes` of a direction, and from what came before them.
type Detect = fn(bytes: &[u8], direction: Direction, before: Before) -> Detection;

/// The protocols in the order they are asked. Each must ask for a second fact beside a magic word.
const PROTOCOLS: [Detect; 2] = [http1::detect, http2::detect];

/// Most bytes [`detect`] is worth asking with: a longer first line than this is nobody's (RFC 9112 §3 recommends to
/// support at least 8000 octets).
const DETECT_MAX: usize = 16 * 1024;

/// Asks every protocol whether a direction that begins with `bytes` is its own. The first that says yes has it.
#[must_use]
pub fn detect(bytes: &[u8], direction: Direction, before: Before) -> Detection {
    let mut perhaps = false;
    for ask in PROTOCOLS {
        match ask(bytes, direction, before) {
            Detection::Found(reader) => return Detection::Found(reader),
            Detection::More => perhaps = bytes.len() < DETECT_MAX,
            Detection::No => {}
        }
    }
    if perhaps { Detection::More } else { Detection::No }
}
