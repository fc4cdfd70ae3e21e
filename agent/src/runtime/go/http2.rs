//! The HTTP/2 of `net/http` in a program: at which instructions the probes are put.
//!
//! It is in every program that serves or calls by `net/http`, whether it is used or not. That of `golang.org/x/net` is another, whose
//! releases go with no version of Go: of it nothing is known.

use super::{binary::Binary, functions::Functions};
use crate::runtime::traps::{Place, Trap};

/// Its functions: the first writes the head of a client's stream, the second serves one.
const FUNCTIONS: [(&str, Trap); 2] = [
    ("net/http.(*http2clientStream).encodeAndWriteHeaders", Trap::Http2WriteHeaders),
    ("net/http.(*http2serverConn).runHandler", Trap::Http2RunHandler),
];

/// Where probes are put.
pub(super) fn places(binary: &Binary, functions: &Functions) -> Vec<Place> {
    let put = |(name, trap)| {
        let start = functions.named(name)?.start;
        Some(Place { trap, offset: binary.place(start)? })
    };
    FUNCTIONS.into_iter().filter_map(put).collect()
}
