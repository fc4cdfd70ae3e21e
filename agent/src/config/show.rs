//! The configuration for people: what is set, to what and where, and which rules hold.

use std::fmt::Write as _;

use super::Settings;
use crate::selection::Action;

impl Settings {
    /// A line for each setting that is not the default, for each rule, and for each thing that was ignored.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let widest = self.set.iter().map(|set| set.key.path.len()).max().unwrap_or(0);
        for set in &self.set {
            let _ = writeln!(text, "{:widest$}  {}  ({})", set.key.path, set.shown(), set.place);
        }
        if self.set.is_empty() {
            text.push_str("nothing is set: every setting has its default\n");
        }
        for (number, rule) in self.selection.rules().iter().enumerate() {
            let word = match rule.action {
                Action::Include { share: None } => "include",
                Action::Include { share: Some(_) } => "include a share",
                Action::Exclude => "exclude",
            };
            let _ = writeln!(text, "rule {}: {word}, counted as {}", number + 1, rule.name);
        }
        if let Some(checks) = &self.checks {
            let _ = writeln!(text, "rules of checks: {}", checks.len());
        }
        if !self.routes.rules.is_empty() {
            let _ = writeln!(text, "rules of routes: {}", self.routes.rules.len());
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}
