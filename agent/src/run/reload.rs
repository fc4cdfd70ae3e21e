//! SIGHUP: the configuration is read again. Rules of selection hold at once; a configuration that is wrong changes
//! nothing, and what cannot change while the agent runs is said to wait for its next start.

use crate::{
    config::{Settings, Sources},
    selection::Selection,
};

/// What holds, and where it comes from.
pub(super) struct Reload {
    sources: Sources,
    /// As at the start, but for the selection.
    settings: Settings,
}

impl Reload {
    pub(super) const fn new(sources: Sources, settings: Settings) -> Self {
        Self { sources, settings }
    }

    /// The rules of selection, if they are others now.
    pub(super) fn read(&mut self) -> Option<Selection> {
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
        if settings.selection == self.settings.selection {
            log::info!("the configuration was read again: the rules of selection are the same");
            return None;
        }
        let count = settings.selection.rules().len();
        log::info!("the configuration was read again: {count} rules of selection hold from now on");
        self.settings.selection = settings.selection.clone();
        Some(settings.selection)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

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
        assert_eq!(reload.read(), None);
        write("select:\n  - exclude: {servise: till}\n");
        assert_eq!(reload.read(), None);
        write("select:\n  - exclude: {service: till}\n  - exclude: {port: 80}\n");
        assert_eq!(reload.read().map(|selection| selection.rules().len()), Some(2));
        assert_eq!(reload.read(), None);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(reload.read(), None);
    }
}
