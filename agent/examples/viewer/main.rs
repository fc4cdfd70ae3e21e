//! The viewer's page over invented traces of a shop: for looking at it while it is worked on, without an agent or root.
//!
//! `viewer PORT [TRACES]` serves a quarter of an hour that ends now, until it is stopped; with a file of
//! `replay --json` in the place of TRACES it serves that.

mod shop;

use anyhow::{Context as _, Result};
use spanwire::status::SampleServer;

/// Known to everybody: nothing but invented data is behind it.
const TOKEN: &str = "sample";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().context("usage: viewer PORT [TRACES | FILE]")?.parse()?;
    let what = arguments.next().unwrap_or_else(|| "6000".to_owned());
    let server = SampleServer::bind(port, TOKEN)?;
    let take = server.taker();
    match what.parse() {
        Ok(count) => shop::quarter(count).for_each(take),
        Err(_) => {
            let text = std::fs::read_to_string(&what).with_context(|| what.clone())?;
            for line in text.lines() {
                take(serde_json::from_str(line)?);
            }
        }
    }
    println!("http://127.0.0.1:{port}/#k={TOKEN}");
    Ok(server.serve()?)
}
