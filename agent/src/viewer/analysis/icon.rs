//! What kind of system a call goes to, for its mark.

use crate::viewer::span::Span;
use crate::viewer::store::Trace;

/// The name of the mark: `database`, `cache`, `queue` or `web`.
pub(crate) fn icon(trace: &Trace, span: &Span) -> &'static str {
    let of = |key| span.attributes.get(&trace.dictionary, key);
    if let Some(system) = of("db.system.name").or_else(|| of("db.system")) {
        return match &*system.display() {
            "redis" | "memcached" => "cache",
            _ => "database",
        };
    }
    if of("messaging.system").is_some() { "queue" } else { "web" }
}
