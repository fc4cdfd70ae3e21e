//! The oracles as programs: all cases in, a line each, and all answers out.

use std::fmt::Write as _;
use std::io::{Seek as _, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tests::programs::{installed, python, workload};

use crate::messages::{Case, Kind};

/// Whom we compare with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Oracle {
    /// Node's parser.
    Llhttp,
    /// The parser of Python's httpx and uvicorn.
    H11,
}

/// What one made of a case.
pub(crate) struct Read {
    /// Where each message ends, and the bytes of its body.
    pub(crate) messages: Vec<(u64, u64)>,
    /// Why it went no further.
    pub(crate) refused: Option<String>,
}

impl Oracle {
    /// Lets it read all cases.
    ///
    /// # Errors
    /// A skip where it is not to be had; it failed.
    pub(crate) fn read(self, cases: &[Case]) -> anyhow::Result<Vec<Read>> {
        let mut input = tempfile::tempfile()?;
        for case in cases {
            let hex = case.bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            let kind = match case.kind {
                Kind::Request => "request",
                Kind::Response => "response",
            };
            let line =
                json!({"kind": kind, "hex": hex, "methods": case.methods, "eof": case.closed});
            writeln!(input, "{line}")?;
        }
        input.rewind()?;
        let output = self.command()?.stdin(Stdio::from(input)).stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "{self:?} ended with {}", output.status);
        let read = String::from_utf8(output.stdout)?
            .lines()
            .map(|line| parse(line).with_context(|| line.to_owned()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(read.len() == cases.len(), "{} answers to {} cases", read.len(), cases.len());
        Ok(read)
    }

    fn command(self) -> anyhow::Result<Command> {
        let folder = workload("oracles");
        Ok(match self {
            Self::Llhttp => {
                let mut command = Command::new(installed("node")?);
                command.arg("--no-deprecation").arg(folder.join("llhttp.mjs"));
                command
            }
            Self::H11 => {
                let environment = python::environment(&folder.join("requirements.txt"))?;
                let mut command = Command::new(environment.join("bin/python"));
                command.env("PYTHONDONTWRITEBYTECODE", "1").arg(folder.join("h11_oracle.py"));
                command
            }
        })
    }
}

/// Installs what has to be installed, so that no test's time limit pays for it. What is missing is left to the test.
pub(crate) fn prepare() {
    println!("preparing h11");
    if let Err(error) = Oracle::H11.command() {
        println!("  not to be had: {error:#}");
    }
}

fn parse(line: &str) -> anyhow::Result<Read> {
    let value: Value = serde_json::from_str(line)?;
    let number = |value: &Value| value.as_u64().context("a number");
    let messages = value["messages"].as_array().context("messages")?;
    let messages = messages
        .iter()
        .map(|message| Ok((number(&message[0])?, number(&message[1])?)))
        .collect::<anyhow::Result<_>>()?;
    Ok(Read { messages, refused: value["refused"].as_str().map(str::to_owned) })
}
