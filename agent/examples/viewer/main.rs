//! The viewer's page over invented traces of a shop: for looking at it while it is worked on, without an agent or root.
//!
//! `viewer PORT [TRACES]` serves a quarter of an hour that ends now, until it is stopped; with a file of
//! `replay --json` in the place of TRACES it serves that.

mod shop;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

/// Known to everybody: nothing but invented data is behind it.
const TOKEN: &str = "sample";

#[allow(clippy::disallowed_methods, reason = "an edge: invented traces end now")]
fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().context("usage: viewer PORT [TRACES | FILE]")?.parse()?;
    let what = arguments.next().unwrap_or_else(|| "6000".to_owned());
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let requests: Vec<ExportTraceServiceRequest> = match what.parse::<u64>() {
        Ok(count) => (0..count).map(|number| shop::trace(number, count, now)).collect(),
        Err(_) => std::fs::read_to_string(&what)
            .with_context(|| what.clone())?
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?,
    };
    println!("http://127.0.0.1:{port}/#k={TOKEN}");
    spanwire::status::serve_sample(port, TOKEN.to_owned(), requests)?;
    Ok(())
}
