//! Counting tests: what libtest's summaries say, summed over everything that ran.

use std::{
    fmt,
    io::{self, Read, Write},
    ops::AddAssign,
    process::{Command, Stdio},
};

/// Tests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    /// Could not run here; libtest says "ignored".
    pub(crate) skipped: u32,
}

impl Tally {
    /// A check that is no test but passes or fails like one.
    pub(crate) const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    /// A check that could not run here.
    pub(crate) const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };
    /// A check that failed, or a program that ended before it could count.
    pub(crate) const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };

    /// Whether nothing ran at all.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Adds what one line of output says, if it is a summary:
    /// `test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s`.
    pub(crate) fn read_line(&mut self, line: &str) {
        let Some(summary) = line.trim().strip_prefix("test result: ") else { return };
        let mut words = summary.split([' ', ';']).peekable();
        while let Some(word) = words.next() {
            let (Ok(number), Some(what)) = (word.parse::<u32>(), words.peek()) else { continue };
            match *what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
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
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        read(output, shown, &mut tally)?;
    }
    if !child.wait()?.success() && tally.failed == 0 {
        tally += Tally::FAILED;
    }
    Ok(tally)
}

/// Copies the output piece by piece (libtest names a test before it runs it), and reads it line by line.
fn read(mut output: impl Read, mut shown: impl Write, tally: &mut Tally) -> io::Result<()> {
    let mut piece = [0; 4096];
    let mut line = Vec::new();
    loop {
        let length = output.read(&mut piece)?;
        if length == 0 {
            tally.read_line(&String::from_utf8_lossy(&line));
            return Ok(());
        }
        shown.write_all(&piece[..length])?;
        shown.flush()?;
        for byte in &piece[..length] {
            if *byte == b'\n' {
                tally.read_line(&String::from_utf8_lossy(&line));
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
test result: FAILED. 40 passed; 2 failed; 3 ignored; 0 measured; 0 filtered out; finished in 9.00s";
        let mut tally = Tally::default();
        let mut shown = Vec::new();
        read(output.as_bytes(), &mut shown, &mut tally).unwrap();
        assert_eq!(shown, output.as_bytes());
        assert_eq!(tally, Tally { passed: 45, failed: 2, skipped: 4 });
        assert_eq!(tally.to_string(), "45 passed, 2 failed, 4 skipped");
    }

    #[test]
    fn a_crash_is_a_failure() {
        let crash = count(Command::new("sh").args(["-c", "exit 3"]), io::sink()).unwrap();
        assert_eq!(crash, Tally::FAILED);
        let counted = "echo 'test result: FAILED. 1 passed; 2 failed; 0 ignored'; exit 101";
        let counted = count(Command::new("sh").args(["-c", counted]), io::sink()).unwrap();
        assert_eq!(counted, Tally { passed: 1, failed: 2, skipped: 0 });
    }
}
