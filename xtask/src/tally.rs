//! Counting tests: what libtest's summaries say, summed over everything that ran, and what failed tests said, so that
//! it can be said again where everybody looks: at the end.

use std::{
    fmt,
    io::{self, Read, Write},
    ops::AddAssign,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

/// Most bytes of what failed tests said that are kept of one program, from their beginning.
const KEPT: usize = 32 * 1024;

/// Tests by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    /// Could not run here; libtest says "ignored".
    pub(crate) skipped: u32,
    /// What the failed ones said.
    pub(crate) said: String,
}

impl Tally {
    /// A check that is no test but passes or fails like one.
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0, said: String::new() };
    /// A check that could not run here.
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1, said: String::new() };
    /// A check that failed, or a program that ended before it could count.
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0, said: String::new() };

    /// A failure that has something to say.
    pub(crate) fn failed(said: impl fmt::Display) -> Self {
        Self { said: format!("{said}\n"), ..Self::FAILED }
    }

    /// Whether nothing ran at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }
}

/// Reads the output of one test program, line by line.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) tally: Tally,
    /// Between the word `failures:` and the summary.
    is_told_failures: bool,
}

impl Reader {
    /// Takes what one line says: a part of what failed tests said, or a summary:
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s`.
    pub(crate) fn line(&mut self, line: &str) {
        let Some(summary) = line.trim().strip_prefix("test result: ") else {
            self.is_told_failures |= line == "failures:";
            if self.is_told_failures && self.tally.said.len() + line.len() < KEPT {
                self.tally.said += line;
                self.tally.said.push('\n');
            }
            return;
        };
        self.is_told_failures = false;
        let mut words = summary.split([' ', ';']).peekable();
        while let Some(word) = words.next() {
            let (Ok(number), Some(what)) = (word.parse::<u32>(), words.peek()) else { continue };
            match *what {
                "passed" => self.tally.passed += number,
                "failed" => self.tally.failed += number,
                "ignored" => self.tally.skipped += number,
                _ => {}
            }
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.said += &other.said;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Runs test programs, shows what they print as it comes, and counts.
///
/// A command that fails without having counted a failure (it did not compile, it crashed) counts as one.
pub(crate) fn run(command: &mut Command) -> io::Result<Tally> {
    count(command, io::stdout())
}

fn count(command: &mut Command, shown: impl Write) -> io::Result<Tally> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut reader = Reader::default();
    if let Some(output) = child.stdout.take() {
        read(output, shown, &mut reader)?;
    }
    let status = child.wait()?;
    if !status.success() && reader.tally.failed == 0 {
        reader.tally += Tally::failed(format_args!("ended by {status}"));
    }
    Ok(reader.tally)
}

/// Copies the output piece by piece (libtest names a test before it runs it), and reads it line by line.
fn read(mut output: impl Read, mut shown: impl Write, reader: &mut Reader) -> io::Result<()> {
    let mut piece = [0; 4096];
    let mut line = Vec::new();
    loop {
        let length = output.read(&mut piece)?;
        if length == 0 {
            reader.line(&String::from_utf8_lossy(&line));
            return Ok(());
        }
        shown.write_all(&piece[..length])?;
        shown.flush()?;
        for byte in &piece[..length] {
            if *byte == b'\n' {
                reader.line(&String::from_utf8_lossy(&line));
                line.clear();
            } else {
                line.push(*byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_summed_and_nothing_else_is_counted() {
        let output = "\
test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s
test says::7_passed ... ok
7 passed

failures:

---- says::why ----
3 failed

failures:
    says::why

test result: FAILED. 40 passed; 2 failed; 3 ignored; 0 measured; 0 filtered out; finished in 9.00s
all over";
        let mut reader = Reader::default();
        let mut shown = Vec::new();
        read(output.as_bytes(), &mut shown, &mut reader).unwrap();
        assert_eq!(shown, output.as_bytes());
        let Tally { passed, failed, skipped, said } = &reader.tally;
        assert_eq!((*passed, *failed, *skipped), (45, 2, 4));
        assert_eq!(
            said,
            "failures:\n\n---- says::why ----\n3 failed\n\nfailures:\n    says::why\n\n"
        );
        assert_eq!(reader.tally.to_string(), "45 passed, 2 failed, 4 skipped");
    }

    #[test]
    fn a_crash_is_a_failure() {
        let crash = count(Command::new("sh").args(["-c", "exit 3"]), io::sink()).unwrap();
        assert_eq!((crash.failed, &*crash.said), (1, "ended by exit status: 3\n"));
        let counted = "echo 'test result: FAILED. 1 passed; 2 failed; 0 ignored'; exit 101";
        let counted = count(Command::new("sh").args(["-c", counted]), io::sink()).unwrap();
        assert_eq!((counted.passed, counted.failed), (1, 2));
    }
}
