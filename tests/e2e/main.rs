//! End-to-end tests: unmodified programs on one side, what arrives at an OTLP backend on the other.
//!
//! Needs root and the built agent (`SPANWIRE_BIN`, else the one in the target folder). See `tests::runner` for how a
//! test runs and how it says that it cannot.

mod backends;
mod connections;
mod crowds;
mod export;
mod frames;
mod goroutines;
mod grpc;
mod harness;
mod http2;
mod identity;
mod image;
mod insert;
mod joins;
mod kernels;
mod linking;
mod load;
mod long_bodies;
mod namespaces;
mod on_cpu;
mod open_requests;
mod operating;
mod pools;
mod preempted;
mod programs;
mod replay;
mod rules;
mod sdks;
mod servers_and_clients;
mod services;
mod socket_calls;
mod systemd;
mod transport;
mod truth;
mod viewer;
mod wire;
mod wire_goroutines;

use std::process::ExitCode;

use tests::runner::Suite;

/// Whether tests that take minutes take them; else they come to the same end in a shorter way.
fn is_paced() -> bool {
    std::env::var_os("SPANWIRE_TEST_PACED").is_some()
}

fn main() -> ExitCode {
    let mut suite = Suite::default();
    suite.before(tests::programs::prepare);
    harness::add(&mut suite);
    kernels::add(&mut suite);
    programs::add(&mut suite);
    servers_and_clients::add(&mut suite);
    connections::add(&mut suite);
    goroutines::add(&mut suite);
    pools::add(&mut suite);
    http2::add(&mut suite);
    grpc::add(&mut suite);
    frames::add(&mut suite);
    namespaces::add(&mut suite);
    joins::add(&mut suite);
    wire::add(&mut suite);
    insert::add(&mut suite);
    identity::add(&mut suite);
    wire_goroutines::add(&mut suite);
    linking::add(&mut suite);
    sdks::add(&mut suite);
    transport::add(&mut suite);
    truth::add(&mut suite);
    export::add(&mut suite);
    backends::add(&mut suite);
    viewer::add(&mut suite);
    operating::add(&mut suite);
    systemd::add(&mut suite);
    image::add(&mut suite);
    services::add(&mut suite);
    rules::add(&mut suite);
    open_requests::add(&mut suite);
    on_cpu::add(&mut suite);
    preempted::add(&mut suite);
    replay::add(&mut suite);
    socket_calls::add(&mut suite);
    long_bodies::add(&mut suite);
    crowds::add(&mut suite);
    load::add(&mut suite);
    suite.main()
}
