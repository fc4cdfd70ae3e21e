//! What a span did, in words of few kinds, and whom it asked.
//!
//! HTTP spans that know no route are named by their method only (semconv 1.44): too little for a list of requests. The
//! viewer keeps no series, so it may read the path, with what looks like an id replaced: `GET /product/17` and
//! `GET /product/18` are both `GET /product/{id}`. Only for looking at: what is exported has the span's own name.

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};

/// Segments of a path that are told.
const SEGMENTS: usize = 6;
/// Longest segment that is a word, bytes.
const LONGEST_WORD: usize = 40;

/// The operation of a span with this name and these attributes.
pub(crate) fn operation(name: &str, attributes: &[KeyValue]) -> String {
    // The second ones of each are of SDKs from before the conventions were stable.
    let either = |new, old| text(attributes, new).or_else(|| text(attributes, old));
    let is_bare = either("http.request.method", "http.method")
        .is_some_and(|method| name == method || (method == "_OTHER" && name == "HTTP"));
    if !is_bare {
        return name.to_owned();
    }
    let path = either("url.path", "http.target")
        .or_else(|| either("url.full", "http.url").map(path_of))
        .map(|path| path.split('?').next().unwrap_or(path));
    path.map_or_else(|| name.to_owned(), |path| format!("{name} {}", shape(path)))
}

/// Whom a span asks: a database by its kind, anybody else by the address that was meant.
pub(crate) fn peer(attributes: &[KeyValue]) -> Option<String> {
    const NAMES: [&str; 5] =
        ["service.peer.name", "peer.service", "db.system.name", "db.system", "messaging.system"];
    let named = NAMES.iter().find_map(|key| text(attributes, key));
    if let Some(name) = named {
        return Some(if name == "postgresql" { "postgres".to_owned() } else { name.to_owned() });
    }
    let address =
        text(attributes, "server.address").or_else(|| text(attributes, "network.peer.address"))?;
    let port = number(attributes, "server.port");
    Some(match port {
        // Addresses alone tell nothing apart on one host.
        Some(port) if address.parse::<std::net::IpAddr>().is_ok() || address == "localhost" => {
            format!("{address}:{port}")
        }
        _ => address.to_owned(),
    })
}

/// The path of a URL.
pub(crate) fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or(path)
}

/// A path with what looks like an id replaced by `{id}`.
fn shape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for (at, segment) in path.split('/').skip(usize::from(path.starts_with('/'))).enumerate() {
        out.push('/');
        if at == SEGMENTS {
            out.push('…');
            break;
        }
        let (stem, extension) = match segment.rsplit_once('.') {
            Some((stem, extension)) if (1..=5).contains(&extension.len()) => {
                (stem, Some(extension))
            }
            _ => (segment, None),
        };
        if is_id(stem) {
            out.push_str("{id}");
            if let Some(extension) = extension {
                out.push('.');
                out.push_str(extension);
            }
        } else {
            out.push_str(segment);
        }
    }
    out
}

fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_version = word.len() <= 3 && word.starts_with('v');
    !word.is_empty()
        && !is_version
        && (digits == word.len()
            || (digits > 0 && is_hex && word.len() >= 8)
            || digits * 2 >= word.len()
            || (digits > 1 && word.len() >= 20)
            || word.len() > LONGEST_WORD)
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn number(attributes: &[KeyValue], key: &str) -> Option<i64> {
    match value(attributes, key)? {
        Value::IntValue(number) => Some(*number),
        _ => None,
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::attribute;

    #[test]
    fn ids_in_paths_are_replaced() {
        for (path, expected) in [
            ("/", "/"),
            ("/orders", "/orders"),
            ("/orders/17", "/orders/{id}"),
            ("/api/v2/users/42/cart", "/api/v2/users/{id}/cart"),
            ("/invoice/A-20931.pdf", "/invoice/{id}.pdf"),
            ("/o/123e4567-e89b-12d3-a456-426614174000", "/o/{id}"),
            ("/static/site.css", "/static/site.css"),
            ("/t/deadbeef00", "/t/{id}"),
            ("/stock/teapot", "/stock/teapot"),
            ("/decade/facade", "/decade/facade"),
            ("/a/b/c/d/e/f/g/h", "/a/b/c/d/e/f/…"),
            ("/orders/", "/orders/"),
        ] {
            assert_eq!(shape(path), expected, "{path}");
        }
    }

    #[test]
    fn a_route_or_a_statement_is_kept_as_it_is() {
        let method = attribute::text("http.request.method", "GET");
        let path = attribute::text("url.path", "/product/17");
        let full = attribute::text("url.full", "http://shop:80/product/17?q=1");
        let all = [method.clone(), path.clone()];
        assert_eq!(operation("GET", &all), "GET /product/{id}");
        assert_eq!(operation("GET", &[method.clone(), full]), "GET /product/{id}");
        assert_eq!(operation("GET /product/{sku}", &all), "GET /product/{sku}");
        assert_eq!(operation("SELECT stock", &[]), "SELECT stock");
        assert_eq!(operation("GET", &[method]), "GET");
        let old = [
            attribute::text("http.method", "GET"),
            attribute::text("http.target", "/product/17?q=1"),
        ];
        assert_eq!(operation("GET", &old), "GET /product/{id}");
    }

    #[test]
    fn peers_have_the_name_that_tells_them_apart() {
        let address = |name: &str| attribute::text("server.address", name);
        let port = attribute::number("server.port", 5432);
        let peer_of = |all: &[KeyValue]| peer(all);
        assert_eq!(peer_of(&[]), None);
        assert_eq!(peer_of(&[address("db.internal"), port.clone()]).unwrap(), "db.internal");
        assert_eq!(peer_of(&[address("127.0.0.1"), port.clone()]).unwrap(), "127.0.0.1:5432");
        let system = attribute::text("db.system.name", "postgresql");
        assert_eq!(peer_of(&[address("127.0.0.1"), port, system]).unwrap(), "postgres");
    }
}
