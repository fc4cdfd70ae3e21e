//! How a test ends when it neither passes nor fails: it could not run, and says why. And what a passed one has to say.
//!
//! A skip travels as an error so that `?` carries it out of any depth. It must never be counted as a pass.

use std::fmt;

/// How a line of a passed test begins that is shown all the same.
pub const NOTE: &str = "note: ";

/// What a test returns.
pub type TestResult = anyhow::Result<()>;

/// The test could not run here.
#[derive(Debug)]
pub struct Skip {
    /// Why, for the person who reads the report.
    pub why: String,
    /// A program is missing: on CI, where everything is to be installed, that is a failure.
    pub missing_program: bool,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Skip {}

/// The test cannot run on this kind of machine.
#[must_use]
pub fn skip(why: impl Into<String>) -> anyhow::Error {
    Skip { why: why.into(), missing_program: false }.into()
}

/// The test needs a program that is not installed.
#[must_use]
pub fn missing(program: &str, why: impl fmt::Display) -> anyhow::Error {
    Skip { why: format!("{program} is missing: {why}"), missing_program: true }.into()
}

/// Has a figure shown with the test's name, though it passes: what was measured and has no right value.
pub fn note(figure: impl fmt::Display) {
    println!("{NOTE}{figure}");
}
