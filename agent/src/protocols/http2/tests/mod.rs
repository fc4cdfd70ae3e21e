//! HTTP/2 conversations of every kind, whole, cut, with holes, and joined late.
#![forbid(unsafe_code)]

mod conversation;
mod detection;
mod limits;
mod properties;
mod reading;
mod recorded;
