//! Clients of plain HTTP/2 in clear text: curl and h2load, both on nghttp2.

use std::process::Command;

use anyhow::Context as _;

use super::installed;

/// How a client and a server come to speak HTTP/2.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// From the first byte (RFC 9113 section 3.3).
    PriorKnowledge,
    /// By the Upgrade field of a first request in HTTP/1.1 (RFC 7540 section 3.2).
    Upgrade,
}

/// curl, speaking HTTP/2, without its further arguments.
///
/// # Errors
/// A skip when it is missing.
pub fn curl(start: Start) -> anyhow::Result<Command> {
    let mut command = Command::new(installed("curl")?);
    command.args(["--silent", "--show-error"]).arg(match start {
        Start::PriorKnowledge => "--http2-prior-knowledge",
        Start::Upgrade => "--http2",
    });
    Ok(command)
}

/// h2load: so many requests for one URL on some connections, each with some streams at a time.
///
/// # Errors
/// A skip when it is missing.
pub fn h2load(
    requests: usize,
    connections: usize,
    streams: usize,
    url: &str,
) -> anyhow::Result<Command> {
    let mut command = Command::new(installed("h2load")?);
    for (option, number) in [("-n", requests), ("-c", connections), ("-m", streams)] {
        command.arg(option).arg(number.to_string());
    }
    command.arg(url);
    Ok(command)
}

/// What h2load says of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H2loadSum {
    /// Answered with a status of 200 to 399.
    pub succeeded: usize,
    /// Everything else that was asked.
    pub failed: usize,
}

impl H2loadSum {
    /// Reads it from h2load's standard output.
    ///
    /// # Errors
    /// When it has no such line.
    pub fn read(output: &str) -> anyhow::Result<Self> {
        let line = output.lines().find_map(|line| line.strip_prefix("requests: "));
        let line = line.with_context(|| format!("h2load told no requests:\n{output}"))?;
        let number = |word: &str| {
            let mut parts = line.split(", ").filter_map(|part| part.split_once(' '));
            let (number, _) = parts
                .find(|(_, name)| *name == word)
                .with_context(|| format!("no {word} in {line:?}"))?;
            number.parse::<usize>().with_context(|| line.to_owned())
        };
        Ok(Self { succeeded: number("succeeded")?, failed: number("failed")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h2loads_sum_is_read() {
        let output = "finished in 1.06ms\nrequests: 9 total, 9 started, 9 done, 7 succeeded, 2 failed, 1 errored, 0 timeout\n";
        let read = H2loadSum::read(output).unwrap();
        assert_eq!(read, H2loadSum { succeeded: 7, failed: 2 });
        assert!(H2loadSum::read("requests: many").is_err());
    }
}
