//! HTTP ends inside the test itself, for what no well-behaved program does: cut, pipelined, unanswered, reset.

mod client;
mod server;

pub use client::{Answer, Connection, Target};
pub use server::{Script, Scripted};
