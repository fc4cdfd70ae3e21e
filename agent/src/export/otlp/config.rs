//! The standard `OTEL_*` export variables, read into one [`Config`].
//!
//! Rules (specification, "Environment Variables", and `OTLP Exporter`): empty is unset; the `_TRACES_` form of a
//! variable wins over the general one; enumerations in any case. What cannot be read is handed back with its weight; an
//! endpoint that is none never becomes another one. Header values may be credentials: they appear in no warning, no log
//! and no `Debug`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};

use super::endpoint::{self, Endpoint};
use super::retry::BackoffTimes;
use super::spool::SpoolConfig;
use super::tls::TlsFiles;

/// Where finished spans go, as the environment says.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Over OTLP: `OTEL_TRACES_EXPORTER` names `otlp`, or an OTLP endpoint is set and nothing else is named.
    pub otlp: Option<Config>,
    /// To the terminal: `OTEL_TRACES_EXPORTER` names `console`.
    pub console: bool,
    /// Nowhere: `OTEL_TRACES_EXPORTER=none`. When all three are unset the agent is free to choose.
    pub none: bool,
    /// What is wrong.
    pub wrong: Vec<Wrong>,
}

/// Something that is wrong with a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Its name.
    pub variable: String,
    /// What is wrong, without the value where that may be a secret.
    pub why: String,
    /// How much it matters.
    pub weight: Weight,
}

/// How much it matters that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It is probably not what was meant; it holds all the same.
    Advice,
    /// The value cannot be read, and is as good as not set.
    Ignored,
    /// Nothing can stand in for it.
    Fatal,
}

/// How spans are sent over OTLP.
#[derive(Clone)]
pub struct Config {
    /// Transport and encoding.
    pub protocol: Protocol,
    /// Where to. HTTP: the whole URL. gRPC: scheme and authority.
    pub(super) endpoint: Endpoint,
    /// Sent with each request.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Requests are compressed with gzip.
    pub gzip: bool,
    /// Longest time for one attempt.
    pub timeout: Duration,
    /// Files for TLS.
    pub tls: TlsFiles,
    /// Sizes of queue and batch.
    pub limits: Limits,
    /// Waits between attempts.
    pub backoff: BackoffTimes,
    /// Where batches are kept on disk while the server is away.
    pub spool: Option<SpoolConfig>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Config")
            .field("protocol", &self.protocol)
            .field("endpoint", &self.endpoint.to_string())
            .field("headers", &headers)
            .field("gzip", &self.gzip)
            .field("timeout", &self.timeout)
            .field("tls", &self.tls)
            .field("limits", &self.limits)
            .field("backoff", &self.backoff)
            .field("spool", &self.spool)
            .finish()
    }
}

impl Config {
    /// Where spans go, for people: protocol and address, without credentials.
    #[must_use]
    pub fn destination(&self) -> String {
        format!("{} ({})", self.endpoint, self.protocol)
    }
}

/// `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`, the default of the specification.
    #[default]
    HttpProtobuf,
    /// `http/json`
    HttpJson,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
        })
    }
}

/// Sizes of queue and batch, and how long a batch may wait to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Spans in the queue (`OTEL_BSP_MAX_QUEUE_SIZE`).
    pub queue_spans: usize,
    /// Bytes of the spans in the queue, as encoded.
    pub queue_bytes: usize,
    /// Spans in one request (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`).
    pub batch_spans: usize,
    /// Bytes of the spans in one request, as encoded and before compression.
    pub batch_bytes: usize,
    /// A span waits no longer than this for its batch to fill (`OTEL_BSP_SCHEDULE_DELAY`).
    pub delay: Duration,
}

impl Default for Limits {
    /// The standard's delay. Its sizes (2,048 and 512 spans) are meant for one process; these carry a whole host: 64
    /// MiB hold about 65,536 spans of 1 KiB, which is more than a minute at 1,000 spans a second. A batch stays below
    /// 4 MiB, the longest message a gRPC server takes by default.
    fn default() -> Self {
        Self {
            queue_spans: 65_536,
            queue_bytes: 64 << 20,
            batch_spans: 2_048,
            batch_bytes: 3 << 20,
            delay: Duration::from_secs(5),
        }
    }
}

/// Reads the choice from variables; `read` is the environment.
#[must_use]
pub fn choose(read: &dyn Fn(&str) -> Option<String>) -> Choice {
    let mut vars = Vars { read, wrong: Vec::new() };
    let mut choice = Choice::default();
    let mut named_otlp = false;
    if let Some(list) = vars.text("OTEL_TRACES_EXPORTER") {
        for name in list.split(',').map(|n| n.trim().to_ascii_lowercase()) {
            match name.as_str() {
                "otlp" => named_otlp = true,
                "console" | "logging" => choice.console = true,
                "none" => choice.none = true,
                "" => {}
                other => vars.wrong(
                    "OTEL_TRACES_EXPORTER",
                    format!("{other:?} is not otlp, console or none"),
                    Weight::Ignored,
                ),
            }
        }
    }
    let named = named_otlp || choice.console || choice.none;
    let endpoint_set = vars.otlp("ENDPOINT").is_some();
    if named_otlp || (endpoint_set && !named) {
        choice.otlp = Some(otlp(&mut vars));
        choice.none = false;
    }
    choice.wrong = vars.wrong;
    choice
}

fn otlp(vars: &mut Vars<'_>) -> Config {
    let protocol_named = vars.otlp_parsed("PROTOCOL", |v| match v.to_ascii_lowercase().as_str() {
        "grpc" => Some(Protocol::Grpc),
        "http/protobuf" => Some(Protocol::HttpProtobuf),
        "http/json" => Some(Protocol::HttpJson),
        _ => None,
    });
    let protocol = protocol_named.unwrap_or_default();
    let insecure =
        vars.otlp("INSECURE").is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
    let endpoint = endpoint(vars, protocol, insecure);
    if protocol_named.is_none() && endpoint.port() == Some(4317) {
        vars.wrong(
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "the OTLP endpoint has gRPC's port 4317 but the protocol is http/protobuf; set \
             OTEL_EXPORTER_OTLP_PROTOCOL=grpc if the server speaks gRPC there"
                .to_owned(),
            Weight::Advice,
        );
    }
    let gzip = vars.otlp_parsed("COMPRESSION", |v| match v.to_ascii_lowercase().as_str() {
        "gzip" => Some(true),
        "none" => Some(false),
        _ => None,
    });
    let timeout = vars.otlp_parsed("TIMEOUT", millis);
    let path = |vars: &mut Vars<'_>, name| vars.otlp(name).map(|(_, value)| PathBuf::from(value));
    Config {
        protocol,
        endpoint,
        headers: headers(vars),
        gzip: gzip.unwrap_or(false),
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        tls: TlsFiles {
            certificate: path(vars, "CERTIFICATE"),
            client_key: path(vars, "CLIENT_KEY"),
            client_certificate: path(vars, "CLIENT_CERTIFICATE"),
        },
        limits: limits(vars),
        backoff: BackoffTimes::default(),
        spool: spool(vars),
    }
}

fn spool(vars: &mut Vars<'_>) -> Option<SpoolConfig> {
    let directory = PathBuf::from(vars.text("SPANWIRE_SPOOL_DIRECTORY")?);
    let mut number = |name| vars.parsed(name, |v| v.parse::<u64>().ok().filter(|&n| n > 0));
    let default = SpoolConfig::in_directory(directory);
    Some(SpoolConfig {
        max_bytes: number("SPANWIRE_SPOOL_MAX_BYTES").unwrap_or(default.max_bytes),
        max_age: number("SPANWIRE_SPOOL_MAX_AGE").map_or(default.max_age, Duration::from_secs),
        ..default
    })
}

fn endpoint(vars: &mut Vars<'_>, protocol: Protocol, insecure: bool) -> Endpoint {
    for (name, for_signal) in
        [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", true), ("OTEL_EXPORTER_OTLP_ENDPOINT", false)]
    {
        let Some(value) = vars.text(name) else { continue };
        let parsed = match protocol {
            Protocol::Grpc => endpoint::grpc(&value, insecure),
            _ if for_signal => endpoint::http_as_is(&value),
            _ => endpoint::http_base(&value),
        };
        match parsed {
            Ok(endpoint) => return endpoint,
            // The value may hold credentials: it is not repeated.
            Err(why) => vars.wrong(name, why.to_string(), Weight::Fatal),
        }
    }
    endpoint::default(protocol == Protocol::Grpc)
}

/// `k=v,k2=v2`, values percent-encoded, no properties.
fn headers(vars: &mut Vars<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let Some((name, list)) = vars.otlp("HEADERS") else { return Vec::new() };
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (index, member) in list.split(',').enumerate() {
        if member.trim().is_empty() {
            continue;
        }
        match header(member) {
            // The last of a name wins, as in a map.
            Some((key, value)) => {
                headers.retain(|(other, _)| *other != key);
                headers.push((key, value));
            }
            None => {
                vars.wrong(&name, format!("member {} is not a header", index + 1), Weight::Ignored);
            }
        }
    }
    headers
}

fn header(member: &str) -> Option<(HeaderName, HeaderValue)> {
    let (key, value) = member.split_once('=')?;
    let key = HeaderName::from_str(key.trim()).ok()?;
    let mut value = HeaderValue::from_bytes(&percent_decoded(value.trim())?).ok()?;
    value.set_sensitive(true);
    Some((key, value))
}

/// `None` when a `%` is not followed by two hex digits.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(out)
}

fn limits(vars: &mut Vars<'_>) -> Limits {
    let default = Limits::default();
    let count = |v: &str| v.parse::<usize>().ok().filter(|&n| n > 0);
    let queue_spans = vars.parsed("OTEL_BSP_MAX_QUEUE_SIZE", count).unwrap_or(default.queue_spans);
    let batch_spans =
        vars.parsed("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", count).unwrap_or(default.batch_spans);
    if let Some(over) = batch_spans.checked_sub(queue_spans).filter(|&n| n > 0) {
        vars.wrong(
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            format!(
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE is {over} more than the queue holds; the queue's size is used"
            ),
            Weight::Advice,
        );
    }
    Limits {
        queue_spans,
        batch_spans: batch_spans.min(queue_spans),
        delay: vars
            .parsed("OTEL_BSP_SCHEDULE_DELAY", |v| v.parse().ok().map(Duration::from_millis))
            .unwrap_or(default.delay),
        ..default
    }
}

fn millis(value: &str) -> Option<Duration> {
    value.parse().ok().filter(|&ms| ms > 0).map(Duration::from_millis)
}

/// Variables and what was wrong with them.
struct Vars<'a> {
    read: &'a dyn Fn(&str) -> Option<String>,
    wrong: Vec<Wrong>,
}

impl Vars<'_> {
    fn wrong(&mut self, variable: &str, why: String, weight: Weight) {
        self.wrong.push(Wrong { variable: variable.to_owned(), why, weight });
    }

    /// A variable's value; empty is unset.
    fn text(&self, name: &str) -> Option<String> {
        (self.read)(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    }

    /// An exporter variable, the signal's own form first, and the name it was found under.
    fn otlp(&self, suffix: &str) -> Option<(String, String)> {
        ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"].into_iter().find_map(|prefix| {
            let name = format!("{prefix}{suffix}");
            self.text(&name).map(|value| (name, value))
        })
    }

    fn otlp_parsed<T>(&mut self, suffix: &str, parse: fn(&str) -> Option<T>) -> Option<T> {
        ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"]
            .into_iter()
            .find_map(|prefix| self.parsed(&format!("{prefix}{suffix}"), parse))
    }

    fn parsed<T>(&mut self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let value = self.text(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.wrong(name, format!("{value:?} cannot be read"), Weight::Ignored);
        }
        parsed
    }
}

#[cfg(test)]
mod tests;
