//! gRPC, as HTTP carries it (gRPC over HTTP/2; gRPC-Web): an exchange by its content type.
//!
//! Over HTTP/2 the status is in the trailers, or in the head of an answer without a body ("Trailers-Only"). gRPC-Web has
//! its trailers in the body, which is not read: there the status is known only where it is in the head.
#![forbid(unsafe_code)]

use percent_encoding::percent_decode;

use crate::exchange::{Call, Header, Http, Rpc};
use crate::text::lossy;

/// Names and values.
type Fields = [Header];

/// Most octets kept of a status message: it describes a span, and is no payload.
const MESSAGE_MAX: usize = 1024;

/// An exchange as what it is: gRPC where request or answer say so. `trailers` are the answer's, `messages` the counts
/// of the request and the answer. `is_framed`: what it is was not to be read, but it was POSTed, its request and its
/// answer are whole messages of gRPC to the last octet, and trailers followed: nothing else looks like that.
pub(super) fn call(
    http: Http,
    trailers: &Fields,
    messages: [Option<u64>; 2],
    is_framed: bool,
) -> Call {
    let is_rpc = match content_type(&http) {
        Some(content_type) => is_grpc(content_type),
        // It may be in a table that is older than us. Nobody else has such a status.
        None => is_framed || answer(&http, trailers, "grpc-status").is_some(),
    };
    if !is_rpc {
        return Call::Http(http);
    }
    let answer = |name| answer(&http, trailers, name);
    let host = || first(&http.request_headers, "host").map(text);
    Call::Rpc(Rpc {
        status: answer("grpc-status").and_then(number),
        message: answer("grpc-message").map(message).filter(|message| !message.is_empty()),
        timeout: first(&http.request_headers, "grpc-timeout").and_then(timeout),
        method: http.target.as_deref().and_then(method),
        authority: http.authority.clone().or_else(host),
        http_status: http.status,
        request_messages: messages[0],
        response_messages: messages[1],
    })
}

/// A field of the trailers, or of the head of an answer that has none.
fn answer<'a>(http: &'a Http, trailers: &'a Fields, name: &str) -> Option<&'a [u8]> {
    first(trailers, name).or_else(|| first(&http.response_headers, name))
}

/// Whether nothing says that it is not gRPC.
pub(super) fn may_be(http: &Http) -> bool {
    content_type(http).is_none_or(is_grpc)
}

fn content_type(http: &Http) -> Option<&[u8]> {
    first(&http.request_headers, "content-type")
        .or_else(|| first(&http.response_headers, "content-type"))
}

/// Whether a content type is gRPC's: `application/grpc`, perhaps `-web` or `-web-text`, perhaps with a format.
fn is_grpc(content_type: &[u8]) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let Some((start, rest)) = content_type.split_at_checked(TYPE.len()) else { return false };
    start.eq_ignore_ascii_case(TYPE)
        && matches!(rest.first(), None | Some(b'+' | b';' | b'-' | b' '))
}

/// `package.Service/Method` of a path.
fn method(target: &str) -> Option<String> {
    let name = target.strip_prefix('/')?;
    let (service, method) = name.split_once('/')?;
    (!service.is_empty() && !method.is_empty()).then(|| name.to_owned())
}

/// Up to eight digits and a unit, as nanoseconds.
fn timeout(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    if digits.len() > 8 {
        return None;
    }
    let unit = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    Some(u64::from(number(digits)?).saturating_mul(unit))
}

fn number(digits: &[u8]) -> Option<u32> {
    let fits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| fits)?.parse().ok()
}

/// A percent-encoded status message; one that is wrongly encoded is taken as it is.
fn message(value: &[u8]) -> String {
    let decoded = percent_decode(value).decode_utf8_lossy();
    decoded.chars().take(MESSAGE_MAX).collect()
}

fn text(value: &[u8]) -> String {
    lossy(value).into_owned()
}

fn first<'a>(headers: &'a Fields, name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(known, _)| *known == name).map(|(_, value)| &value[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for (text, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("Application/GRPC", true),
            ("application/grpc-web+proto", true),
            ("application/grpc-web-text", true),
            ("application/grpcish", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(is_grpc(text.as_bytes()), grpc, "{text}");
        }
    }

    #[test]
    fn methods_are_fully_qualified() {
        assert_eq!(method("/shop.Cart/Add").as_deref(), Some("shop.Cart/Add"));
        for text in ["shop.Cart/Add", "/shop.Cart", "/", "//Add", "/shop.Cart/", "*"] {
            assert_eq!(method(text), None, "{text}");
        }
    }

    #[test]
    fn timeouts_have_a_unit() {
        for (text, nanos) in [
            ("1S", Some(1_000_000_000)),
            ("250m", Some(250_000_000)),
            ("99999999H", Some(u64::MAX)),
            ("99913u", Some(99_913_000)),
            ("7n", Some(7)),
            ("123456789m", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("", None),
        ] {
            assert_eq!(timeout(text.as_bytes()), nanos, "{text}");
        }
    }

    #[test]
    fn messages_are_decoded() {
        assert_eq!(message(b"no%20tea%E2%80%A6 100%"), "no tea\u{2026} 100%");
        assert_eq!(message(&[b'x'; 5000]).len(), MESSAGE_MAX);
    }
}
