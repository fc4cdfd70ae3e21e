//! The gRPC tour's server and client on tonic.
//!
//! Usage: `grpc-tonic server HOST:PORT`, `grpc-tonic client HOST:PORT tour [TRACEPARENT]`, or
//! `grpc-tonic client HOST:PORT load CALLS AT_A_TIME`. A program of its own that tests start like every other: it must
//! not use the tests' library.

#![forbid(unsafe_code)]

mod client;
mod codec;
mod server;

/// The full name of the service.
const SERVICE: &str = "spanwire.tests.Tour";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // The tour gives up a call and then makes others. On one thread the connection's task has reset the stream before the next
    // answer is read; on several it may come to that only when the tour is over and the process with it.
    let mut runtime = match words[..] {
        ["client", _, "tour", ..] => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(play(&words))
}

async fn play(words: &[&str]) -> anyhow::Result<()> {
    match *words {
        ["server", address] => server::run(address.parse()?).await,
        ["client", address, "tour"] => client::connect(address).await?.tour(None).await,
        ["client", address, "tour", traceparent] => {
            client::connect(address).await?.tour(Some(traceparent)).await
        }
        ["client", address, "load", calls, at_a_time] => {
            client::connect(address).await?.load(calls.parse()?, at_a_time.parse()?).await
        }
        _ => anyhow::bail!("unknown arguments {words:?}"),
    }
}
