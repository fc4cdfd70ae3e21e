//! HTTP/1.x (RFC 9112).
#![forbid(unsafe_code)]

use abi::Direction;

use super::Detection;

/// Whether a direction that begins with `bytes` speaks HTTP/1.
pub(super) fn detect(_bytes: &[u8], _direction: Direction, _from_birth: bool) -> Detection {
    Detection::No
}
