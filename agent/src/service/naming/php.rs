//! Names of PHP programs: scripts, what the built-in server serves, and the pools of PHP-FPM.

use super::{folder_of, script, title};
use crate::service::ProcessFacts;

/// How PHP-FPM calls the workers of a pool (`php-fpm: pool www`).
const POOL: &str = "php-fpm: pool ";
/// The pool of the configuration that PHP-FPM comes with: its name says nothing.
const DEFAULT_POOL: &str = "www";

/// The name of what `php` runs: a script, or for its built-in server (`-S`) the folder it serves.
pub(super) fn name(facts: &ProcessFacts, arguments: &[String]) -> Option<String> {
    if !arguments.iter().any(|argument| argument == "-S") {
        return script::name(facts, arguments, &script::PHP);
    }
    let root = arguments.iter().position(|argument| argument == "-t");
    root.and_then(|at| arguments.get(at + 1))
        .and_then(|folder| folder_of(folder))
        .map(str::to_owned)
}

/// The pool that a PHP-FPM worker belongs to, where it has a name of its own: one master serves the sites of many.
pub(super) fn pool(facts: &ProcessFacts) -> Option<&str> {
    let pool = title::title(facts)?.strip_prefix(POOL)?.trim();
    (!pool.is_empty() && pool != DEFAULT_POOL).then_some(pool)
}
