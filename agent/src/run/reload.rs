//! SIGHUP: the configuration is read again. Rules of selection, the sampler and the level of the log hold at once; a
//! configuration that is wrong changes nothing, and what cannot change while the agent runs is said to wait for its next
//! start.

use crate::config::{Settings, Sources};

/// What holds, and where it comes from.
pub(super) struct Reload {
    sources: Sources,
    /// As at the start.
    settings: Settings,
}

impl Reload {
    pub(super) const fn new(sources: Sources, settings: Settings) -> Self {
        Self { sources, settings }
    }

    /// What holds from now on; `None` when what is written is wrong.
    pub(super) fn read(&mut self) -> Option<Settings> {
        let settings = match self.sources.load() {
            Ok(settings) => settings,
            Err(problems) => {
                log::error!("the configuration is wrong, and what held before goes on: {problems}");
                return None;
            }
        };
        for warning in &settings.warnings {
            log::warn!("{warning}");
        }
        let later = settings.only_at_start(&self.settings);
        if !later.is_empty() {
            log::warn!("{} will hold from the next start on", later.join(", "));
        }
        Some(settings)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::trace::{Sampler, Share};

    fn reload(file: &Path) -> Reload {
        let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
        let settings = sources.load().unwrap();
        Reload::new(sources, settings)
    }

    #[test]
    fn rules_change_and_a_wrong_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("spanwire.yaml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write("select:\n  - exclude: {service: shop}\n");
        let mut reload = reload(&file);
        let rules = |settings: Option<Settings>| settings.map(|s| s.selection.rules().len());
        assert_eq!(rules(reload.read()), Some(1));
        write("select:\n  - exclude: {servise: till}\n");
        assert_eq!(rules(reload.read()), None);
        write(
            "sampling: {sampler: always_off}\nselect:\n  - exclude: {port: 80}\n  - include: all\n",
        );
        let settings = reload.read().unwrap();
        assert_eq!(settings.sampler, Sampler::always(Share::NONE));
        assert_eq!(rules(Some(settings)), Some(2));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(rules(reload.read()), None);
    }
}
