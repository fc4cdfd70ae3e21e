//! The command line of the bench, as `cargo xtask bench` fills it in.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tests::agent::Hooks;

/// What is asked for.
pub(crate) struct Arguments {
    /// Fewer and shorter rounds.
    pub(crate) quick: bool,
    pub(crate) hooks: Hooks,
    /// Modes whose names contain one of these; all when there is none.
    pub(crate) filters: Vec<String>,
    /// Where the JSON goes, and what the programs say.
    pub(crate) folder: PathBuf,
    /// `BENCH.md`, when it is to be written.
    pub(crate) markdown: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn parse(words: &[String]) -> anyhow::Result<Self> {
        let mut asked = Self {
            quick: false,
            hooks: Hooks::Auto,
            filters: Vec::new(),
            folder: std::env::temp_dir(),
            markdown: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--quick" => asked.quick = true,
                "--hooks" => asked.hooks = hooks(value()?)?,
                "--folder" => asked.folder = value()?.into(),
                "--markdown" => asked.markdown = Some(value()?.into()),
                _ if word.starts_with('-') => bail!("unknown argument {word}"),
                _ => asked.filters.push(word.clone()),
            }
        }
        Ok(asked)
    }

    pub(crate) fn wants(&self, mode: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| mode.contains(filter.as_str()))
    }
}

fn hooks(word: &str) -> anyhow::Result<Hooks> {
    let all = [Hooks::Auto].into_iter().chain(Hooks::FORCED);
    let mut named = all.filter(|hooks| hooks.word() == word);
    named.next().with_context(|| format!("there are no hooks {word}"))
}
