//! The viewer in a terminal: `spanwire top` and `spanwire trace ID`.
//!
//! Both ask the child of the running agent, as the page does, and say what it says: nothing is computed here.

mod top;
mod trace;

use std::io::{self, Write};

use anyhow::{Result, bail};
use serde_json::Value;

pub use top::top;
pub use trace::trace;

use crate::status::{RUN_DIRECTORY, ask};

/// The answer to a question, in JSON.
fn answer(path: &str) -> Result<Value> {
    let (status, body) = ask(std::path::Path::new(RUN_DIRECTORY), path)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status != 200 {
        let why =
            body["error"].as_str().map_or_else(|| format!("it answered {status}"), str::to_owned);
        bail!("{why}");
    }
    Ok(body)
}

/// Writes to standard output; a reader that has seen enough is no error.
fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
