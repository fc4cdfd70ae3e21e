//! What is wrong with a configuration, and where: told so that it can be found and put right.

use std::fmt;

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An environment variable.
    Variable(String),
    /// A line of the configuration file.
    File {
        /// Its path.
        file: String,
        /// From 1.
        line: usize,
        /// The key, where there is one.
        key: Option<String>,
    },
    /// An option of the command line.
    Option(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File { file, line, key: Some(key) } => write!(f, "{file}:{line}: {key}"),
            Self::File { file, line, key: None } => write!(f, "{file}:{line}"),
            Self::Option(name) => f.write_str(name),
        }
    }
}

/// Something that cannot be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, without the value if that may be a secret.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

/// All that is wrong, so that nobody has to start again for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\nspanwire: ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `; did you mean x?`, where one of the known words is near.
pub(super) fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    /// Jaro–Winkler, where 1 is the same; as clap has it for its own options.
    const NEAR: f64 = 0.7;
    let scored = known.map(|known| (strsim::jaro_winkler(word, known), known));
    let best = scored.max_by(|one, two| one.0.total_cmp(&two.0));
    match best {
        Some((score, known)) if score > NEAR => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let known = || ["endpoint", "protocol", "timeout"].into_iter();
        assert_eq!(suggestion("endpiont", known()), "; did you mean `endpoint`?");
        assert_eq!(suggestion("time_out", known()), "; did you mean `timeout`?");
        assert_eq!(suggestion("qqq", known()), "");
        assert_eq!(suggestion("x", std::iter::empty()), "");
    }
}
