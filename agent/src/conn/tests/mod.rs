//! The stage as a whole: kernel events in, reports out.
#![forbid(unsafe_code)]

mod conversation;
mod ends;
mod placing;
mod properties;
