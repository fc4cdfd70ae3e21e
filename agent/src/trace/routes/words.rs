//! Words that programs use in paths and that nothing is called by.
//!
//! A name in such a list is believed at once, so each must be one that no customer, product, file or project has. Nouns
//! of a business (`orders`) are not here: they are learned.

/// What stands before the parts of an interface: the segment after it is at the top again. Versions (`v1`) do, too.
const PREFIXES: [&str; 8] =
    ["api", "apis", "rest", "rpc", "internal", "public", "private", "gateway"];

/// What is done, asked for or answered, beside things.
const VERBS: [&str; 56] = [
    "login",
    "logout",
    "signin",
    "signout",
    "signup",
    "register",
    "authorize",
    "authenticate",
    "oauth",
    "oauth2",
    "callback",
    "token",
    "refresh",
    "verify",
    "confirm",
    "reset",
    "search",
    "query",
    "graphql",
    "list",
    "all",
    "new",
    "edit",
    "create",
    "update",
    "delete",
    "add",
    "remove",
    "count",
    "stats",
    "summary",
    "status",
    "health",
    "healthz",
    "metrics",
    "version",
    "info",
    "config",
    "settings",
    "upload",
    "download",
    "export",
    "import",
    "batch",
    "bulk",
    "validate",
    "preview",
    "subscribe",
    "unsubscribe",
    "events",
    "stream",
    "websocket",
    "webhook",
    "webhooks",
    "me",
    "self",
];

/// Whether a segment is a program's own word.
pub(super) fn is_known(segment: &str) -> bool {
    is_prefix(segment) || VERBS.contains(&segment)
}

/// Whether what follows a segment is at the top again.
pub(super) fn is_prefix(segment: &str) -> bool {
    let version = || {
        let digits = segment.strip_prefix('v')?;
        Some((1..=2).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    PREFIXES.contains(&segment) || version() == Some(true)
}
