//! The whole stage, driven with hand-made reports: what links to what, in every order that news can come.
//!
//! A small host is built of connections and processes; its reports are shuffled within what the pipeline allows (each
//! request's start before its end) and fed in. Then the spans are compared with what really happened.

mod admission;
mod chain;
mod checks;
mod host;
mod joins;
mod limits;
mod needs;
mod on_cpu;
mod retransmits;
mod runtimes;
mod sampling;
mod streams;
mod threads;
mod wire;
