//! HTTP/2 (RFC 9113).
#![forbid(unsafe_code)]

pub mod hpack;
