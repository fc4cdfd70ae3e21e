//! The table of settings: each has a key in the file and a variable in the environment that mean the same.
//!
//! Where OpenTelemetry has a variable, it is that one. The README's table is this one (a test compares them).

/// A setting that is one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its place in the file, levels joined by dots.
    pub path: &'static str,
    /// Its variable.
    pub variable: &'static str,
    /// How its value may be written in the file.
    pub form: Form,
    /// What holds when it is not set, for people.
    pub default: &'static str,
    /// What it is, for people.
    pub what: &'static str,
}

/// How a value may be written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One text or number.
    Scalar,
    /// One text, or a list of them; joined by commas.
    List,
    /// A mapping; joined as `key=value` by commas, percent-encoded. Its values are secrets.
    Secrets,
}

const fn key(
    path: &'static str,
    variable: &'static str,
    form: Form,
    default: &'static str,
    what: &'static str,
) -> Key {
    Key { path, variable, form, default, what }
}

use Form::{List, Scalar, Secrets};

/// All of them.
pub const KEYS: [Key; 40] = [
    key(
        "log_level",
        "OTEL_LOG_LEVEL",
        Scalar,
        "info",
        "what is said on standard error: off, error, warn, info, debug or trace",
    ),
    key(
        "hooks",
        "SPANWIRE_HOOKS",
        Scalar,
        "auto",
        "hooks of the kernel to use: auto, locked, length or syscall",
    ),
    key(
        "data_ring",
        "SPANWIRE_DATA_RING",
        Scalar,
        "8388608",
        "size of the kernel's data ring in bytes: a power of two",
    ),
    key(
        "network_namespace",
        "SPANWIRE_NETWORK_NAMESPACE",
        Scalar,
        "all",
        "trace only connections of the namespace of this file",
    ),
    key(
        "open_after",
        "SPANWIRE_OPEN_AFTER",
        Scalar,
        "60",
        "requests that are open for longer are shown while they last, s",
    ),
    key(
        "propagation.tcp_option",
        "SPANWIRE_TCP_OPTION",
        Scalar,
        "private",
        "other agents are told of requests in a TCP option: off, private (addresses only) or all",
    ),
    key(
        "propagation.headers",
        "SPANWIRE_HEADERS",
        List,
        "none",
        "programs into whose requests a `traceparent` is put: by path, or by name",
    ),
    key(
        "propagation.headers_to",
        "SPANWIRE_HEADERS_TO",
        Scalar,
        "private",
        "to whom: private (addresses only, this host included) or all",
    ),
    key(
        "rules_on",
        "SPANWIRE_RULES_ON",
        List,
        "none",
        "rules of runtimes that are used only where they are named: go-channel",
    ),
    key(
        "rules_off",
        "SPANWIRE_RULES_OFF",
        List,
        "none",
        "rules of runtimes that are not used: go-handler, go-child, go-context, go-transport, go-grpc, go-http2, go-newproc or python-pool",
    ),
    key(
        "rules_unlimited",
        "SPANWIRE_RULES_UNLIMITED",
        List,
        "none",
        "rules whose probes stay in programs that meet them often: go-newproc or python-pool",
    ),
    key(
        "sampling.sampler",
        "OTEL_TRACES_SAMPLER",
        Scalar,
        "parentbased_always_on",
        "always_on, always_off, traceidratio, or parentbased_ and one of them",
    ),
    key(
        "sampling.argument",
        "OTEL_TRACES_SAMPLER_ARG",
        Scalar,
        "1.0",
        "the share that a traceidratio keeps, from 0 to 1",
    ),
    key(
        "http.known_methods",
        "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS",
        List,
        "the conventions'",
        "methods that keep their name; others are _OTHER",
    ),
    key(
        "http.redacted_query_keys",
        "SPANWIRE_REDACTED_QUERY_KEYS",
        List,
        "see above",
        "query keys whose values are replaced",
    ),
    key(
        "http.learn_routes",
        "SPANWIRE_LEARN_ROUTES",
        Scalar,
        "true",
        "whether `http.route` is learned from what is seen",
    ),
    key(
        "export.to",
        "OTEL_TRACES_EXPORTER",
        List,
        "otlp if an endpoint is set",
        "otlp, console or none",
    ),
    key(
        "export.endpoint",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        Scalar,
        "http://localhost:4318",
        "the backend's URL; over HTTP, v1/traces is added",
    ),
    key(
        "export.traces_endpoint",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        Scalar,
        "",
        "the same for traces alone, used as it stands",
    ),
    key(
        "export.protocol",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        Scalar,
        "http/protobuf",
        "http/protobuf, http/json or grpc",
    ),
    key("export.headers", "OTEL_EXPORTER_OTLP_HEADERS", Secrets, "", "headers of each request"),
    key("export.compression", "OTEL_EXPORTER_OTLP_COMPRESSION", Scalar, "none", "gzip or none"),
    key(
        "export.timeout",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        Scalar,
        "10000",
        "longest time of one attempt, ms",
    ),
    key(
        "export.insecure",
        "OTEL_EXPORTER_OTLP_INSECURE",
        Scalar,
        "false",
        "gRPC endpoints without a scheme are plain text",
    ),
    key(
        "export.certificate",
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        Scalar,
        "the host's",
        "PEM file of the authorities to trust",
    ),
    key(
        "export.client_key",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        Scalar,
        "",
        "PEM file of our private key",
    ),
    key(
        "export.client_certificate",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        Scalar,
        "",
        "PEM file of our certificates",
    ),
    key(
        "export.delay",
        "OTEL_BSP_SCHEDULE_DELAY",
        Scalar,
        "5000",
        "longest time that a span waits for its batch, ms",
    ),
    key(
        "export.queue_spans",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        Scalar,
        "65536",
        "spans that may wait in memory",
    ),
    key(
        "export.batch_spans",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        Scalar,
        "2048",
        "spans in one request",
    ),
    key(
        "export.spool.directory",
        "SPANWIRE_SPOOL_DIRECTORY",
        Scalar,
        "none",
        "where spans are kept on disk while the backend is away",
    ),
    key(
        "export.spool.max_bytes",
        "SPANWIRE_SPOOL_MAX_BYTES",
        Scalar,
        "268435456",
        "size of what is kept there; the oldest goes first",
    ),
    key(
        "export.spool.max_age",
        "SPANWIRE_SPOOL_MAX_AGE",
        Scalar,
        "86400",
        "what is older is dropped, s",
    ),
    key(
        "export.traces_protocol",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        Scalar,
        "",
        "as `protocol`, for traces alone",
    ),
    key(
        "export.traces_headers",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        Secrets,
        "",
        "as `headers`, for traces alone",
    ),
    key(
        "export.traces_timeout",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        Scalar,
        "",
        "as `timeout`, for traces alone",
    ),
    key(
        "viewer.enabled",
        "SPANWIRE_VIEWER",
        Scalar,
        "true if no endpoint is set",
        "show traces on a page on this host: true or false",
    ),
    key(
        "viewer.memory",
        "SPANWIRE_VIEWER_MEMORY",
        Scalar,
        "128",
        "memory that traces may take there, MiB; the oldest go first",
    ),
    key(
        "viewer.store",
        "SPANWIRE_VIEWER_STORE",
        Scalar,
        "none",
        "file in which they survive a restart",
    ),
    key(
        "viewer.otlp_in",
        "SPANWIRE_VIEWER_OTLP_IN",
        Scalar,
        "none",
        "port of 127.0.0.1 that takes spans of SDKs (OTLP over HTTP)",
    ),
];

/// Which processes and requests are traced.
pub(super) const SELECT: &str = "select";
/// Which requests are health checks.
pub(super) const CHECKS: &str = "checks";
/// What the routes of requests are.
pub(super) const ROUTES: &str = "routes";
/// The keys of lists of rules, which no variable can hold.
pub(super) const LISTS: [&str; 3] = [CHECKS, ROUTES, SELECT];

/// The setting at that place in the file.
pub(super) fn by_path(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether there are settings below that place.
pub(super) fn is_group(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// What can stand at the level below `group` (empty: at the top).
pub(super) fn below(group: &str) -> impl Iterator<Item = &'static str> {
    let is_top = group.is_empty();
    let prefix = if is_top { String::new() } else { format!("{group}.") };
    let top = LISTS.into_iter().filter(move |_| is_top);
    KEYS.iter()
        .filter_map(move |key| key.path.strip_prefix(prefix.as_str()))
        .filter_map(|rest| rest.split('.').next())
        .chain(top)
}

/// The table as the README has it.
#[must_use]
pub fn markdown() -> String {
    let mut text = "| key | variable | default | |\n|---|---|---|---|\n".to_owned();
    for Key { path, variable, default, what, .. } in KEYS {
        text += &format!("| `{path}` | `{variable}` | {default} | {what} |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_key_and_no_variable_twice_and_no_key_that_is_a_group() {
        let paths: HashSet<_> = KEYS.iter().map(|key| key.path).collect();
        let variables: HashSet<_> = KEYS.iter().map(|key| key.variable).collect();
        assert_eq!((paths.len(), variables.len()), (KEYS.len(), KEYS.len()));
        assert!(KEYS.iter().all(|key| !is_group(key.path)));
    }

    #[test]
    fn the_readme_has_the_table() {
        let readme = include_str!("../../../README.md");
        assert!(readme.contains(&markdown()), "the README's table should be:\n{}", markdown());
    }
}
