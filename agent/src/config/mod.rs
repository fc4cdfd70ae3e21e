//! Configuration: the command line, the environment and one YAML file, read into one [`Settings`].
//!
//! A key of the file and a variable of the environment mean the same ([`KEYS`]); the command line beats the environment
//! and that the file. Whatever is unknown or wrong is an error that says where it is, and what was probably meant: an
//! agent that runs with half of what was asked for is found out months later. Only OpenTelemetry's own variables are
//! ignored with a warning, as its specification demands, but for the endpoint: spans would go elsewhere.
#![forbid(unsafe_code)]

mod capture;
mod document;
mod keys;
mod list;
mod lists;
mod problem;
mod requests;
mod rules;
mod settings;
mod show;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use capture::Hooks;
pub(crate) use capture::ring_size;
pub use keys::{Form, KEYS, Key, markdown};
pub use problem::{Place, Problem, Problems};
pub use settings::{Reach, Setting, Settings};

use lists::Lists;
use values::Values;

/// The file that is read when it is there and no other is named.
pub const DEFAULT_FILE: &str = "/etc/spanwire/spanwire.yaml";
/// The variable that names another.
pub const FILE_VARIABLE: &str = "SPANWIRE_CONFIG";

/// Where the configuration is: kept, to be read again.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that was named, by option or variable.
    pub file: Option<PathBuf>,
    /// Variables of the environment. They do not change while a process lives.
    pub variables: BTreeMap<String, String>,
    /// What the command line sets: option, variable of the same meaning, value.
    pub options: Vec<(&'static str, &'static str, String)>,
}

impl Sources {
    /// The file that is named by `option`, else by the variable; the variables of this process.
    #[must_use]
    pub fn new(option: Option<PathBuf>) -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("OTEL_") || name.starts_with("SPANWIRE_"))
            .collect();
        let named = variables.get(FILE_VARIABLE).filter(|path| !path.is_empty());
        Self { file: option.or_else(|| named.map(PathBuf::from)), variables, options: Vec::new() }
    }

    /// Takes what the command line sets: option, variable of the same meaning, value where it was given.
    pub fn give(
        &mut self,
        options: impl IntoIterator<Item = (&'static str, &'static str, Option<String>)>,
    ) {
        let given = options.into_iter();
        self.options.extend(given.filter_map(|(o, variable, text)| Some((o, variable, text?))));
    }

    /// Reads everything.
    ///
    /// # Errors
    ///
    /// All that is wrong, each with its place.
    pub fn load(&self) -> Result<Settings, Problems> {
        let named = self.file.as_deref();
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                return self.read("", "");
            }
            Err(error) => {
                let place = Place::File { file: path.display().to_string(), line: 1, key: None };
                let why = format!("cannot be read: {error}");
                return Err(Problems(vec![Problem { place, why }]));
            }
        };
        self.read(&path.display().to_string(), &text)
    }

    /// Reads this text instead of the file.
    ///
    /// # Errors
    ///
    /// All that is wrong, each with its place.
    pub fn read(&self, file: &str, text: &str) -> Result<Settings, Problems> {
        let mut values = Values::default();
        let entries = document::parse(file, text).map_err(|problem| Problems(vec![problem]))?;
        let lists = values.take_file(file, entries);
        values.take_variables(&self.variables);
        for (option, variable, value) in &self.options {
            values.set(variable, value, Place::Option(option));
        }
        let mut problems = std::mem::take(&mut values.problems);
        let lists = Lists::read(file, lists, &mut problems);
        let settings = Settings::of(&mut values, lists);
        problems.append(&mut values.problems);
        if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
    }
}

#[cfg(test)]
mod tests;
