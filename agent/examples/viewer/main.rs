//! The viewer's page over invented traces of a shop: for looking at it while it is worked on, without an agent or root.
//!
//! `viewer PORT [TRACES]` serves a quarter of an hour that ends now, until it is stopped; with a file of
//! `replay --json` in the place of TRACES it serves that.

mod shop;

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use spanwire::status::SampleServer;

/// Known to everybody: nothing but invented data is behind it.
const TOKEN: &str = "sample";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().context("usage: viewer PORT [TRACES | FILE]")?.parse()?;
    let what = arguments.next().unwrap_or_else(|| "6000".to_owned());
    let requests: Vec<ExportTraceServiceRequest> = match what.parse() {
        Ok(count) => shop::quarter(count).collect(),
        Err(_) => std::fs::read_to_string(&what)
            .with_context(|| what.clone())?
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?,
    };
    let server = SampleServer::bind(port, TOKEN)?;
    requests.into_iter().for_each(server.taker());
    println!("http://127.0.0.1:{port}/#k={TOKEN}");
    Ok(server.serve()?)
}
