//! Names of PHP programs run from the command line.

use super::script;
use crate::service::ProcessFacts;

/// The name of what `php` runs: a script, or for its built-in server (`-S`) nothing of its own.
pub(super) fn name(facts: &ProcessFacts, arguments: &[String]) -> Option<String> {
    if arguments.iter().any(|argument| argument == "-S") {
        return None;
    }
    script::name(facts, arguments, &script::PHP)
}
