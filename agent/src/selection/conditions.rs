//! What a rule asks: all that it asks must hold, each by any one of its patterns.

use std::ops::RangeInclusive;

use wildmatch::WildMatch;

use super::Subject;

/// Least digits of a container's id that name one: as many as nobody types by chance.
const LEAST_DIGITS: usize = 4;

/// Conditions of a rule; without any it fits everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// The executable: by its path if the pattern has a `/`, else by its name.
    pub executable: Vec<Pattern>,
    /// `service.name`.
    pub service: Vec<Pattern>,
    /// The systemd service; `.service` may be left away.
    pub unit: Vec<Pattern>,
    /// The container's id, its first digits, or its name; `*` is any container.
    pub container: Vec<Pattern>,
    /// Labels, each of which must be there and fit.
    pub labels: Vec<Label>,
    /// The server's port.
    pub ports: Option<Ports>,
}

/// What is asked of a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Its key, as it stands.
    pub key: String,
    /// Its value is any of these.
    pub values: Vec<Pattern>,
}

impl Conditions {
    /// Everything but the ports.
    pub(super) fn fit_process(&self, subject: &Subject<'_>) -> bool {
        fits(&self.executable, Some(subject.executable), Pattern::fits_path)
            && fits(&self.service, Some(subject.service), Pattern::fits)
            && fits(&self.unit, subject.unit, Pattern::fits_unit)
            && fits(&self.container, subject.container, |pattern, id| {
                pattern.fits_beginning(id) || pattern.fits(subject.container_name)
            })
            && self.labels.iter().all(|asked| {
                let mut labels = subject.labels.iter().filter(|(key, _)| *key == asked.key);
                labels.any(|(_, value)| asked.values.iter().any(|pattern| pattern.fits(value)))
            })
    }
}

fn fits(patterns: &[Pattern], text: Option<&str>, by: impl Fn(&Pattern, &str) -> bool) -> bool {
    patterns.is_empty() || text.is_some_and(|text| patterns.iter().any(|one| by(one, text)))
}

/// A text in which `*` stands for anything and `?` for one character.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    text: String,
    glob: WildMatch,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It would fit nothing.
    #[error("is empty")]
    Empty,
}

impl Pattern {
    /// The pattern that a text is.
    ///
    /// # Errors
    ///
    /// When it is empty.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        Ok(Self { text: text.to_owned(), glob: WildMatch::new(text) })
    }

    fn fits(&self, text: &str) -> bool {
        self.glob.matches(text)
    }

    /// Whether it fits an executable: by its path if it has a `/`, else by its name.
    #[must_use]
    pub fn fits_path(&self, path: &str) -> bool {
        if self.text.contains('/') {
            return self.fits(path);
        }
        path.rsplit('/').next().is_some_and(|name| self.fits(name))
    }

    fn fits_unit(&self, unit: &str) -> bool {
        self.fits(unit)
            || self
                .text
                .strip_suffix(".service")
                .is_some_and(|text| WildMatch::new(text).matches(unit))
    }

    fn fits_beginning(&self, text: &str) -> bool {
        self.fits(text) || (self.text.len() >= LEAST_DIGITS && text.starts_with(&self.text))
    }
}

/// Ports and ranges of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(Vec<RangeInclusive<u16>>);

impl Ports {
    /// These.
    #[must_use]
    pub const fn new(ranges: Vec<RangeInclusive<u16>>) -> Self {
        Self(ranges)
    }

    /// Reads `80` or `8000-8999`.
    #[must_use]
    pub fn parse(text: &str) -> Option<RangeInclusive<u16>> {
        let port = |text: &str| text.trim().parse().ok().filter(|port| *port != 0);
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (port(first)?, port(last)?),
            None => (port(text)?, port(text)?),
        };
        (first <= last).then_some(first..=last)
    }

    pub(super) fn contain(&self, port: u16) -> bool {
        self.0.iter().any(|range| range.contains(&port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges() {
        assert_eq!(Ports::parse("80"), Some(80..=80));
        assert_eq!(Ports::parse("8000 - 8999"), Some(8000..=8999));
        for text in ["", "0", "-", "80-", "-80", "90-80", "65536", "http", "1-2-3"] {
            assert_eq!(Ports::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_empty_pattern_is_none() {
        assert_eq!(Pattern::new(""), Err(PatternError::Empty));
    }
}
