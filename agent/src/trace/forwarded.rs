//! What proxies say about the original request: `Forwarded` (RFC 7239) and the `X-Forwarded-*` it replaced.
//!
//! Anyone can send these headers: they describe spans and decide nothing.

use std::borrow::Cow;

use crate::exchange::Header;
use crate::text::lossy;
use crate::trace::url::{host_and_port, is_scheme};

/// The request as the first client sent it, as far as the proxies on the way have said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::trace) struct Forwarded {
    /// The left-most client; `Some(None)` when it is there and said to be unknown.
    pub client: Option<Option<String>>,
    /// Authority it asked for.
    pub host: Option<String>,
    /// Scheme it used, lower case.
    pub scheme: Option<String>,
}

impl Forwarded {
    /// Reads the headers (names in lower case). `Forwarded` wins, part by part.
    pub(in crate::trace) fn of(headers: &[Header]) -> Self {
        let mut read = Self::default();
        for value in values(headers, "forwarded") {
            read.take_forwarded(&value);
        }
        let leftmost = |name| {
            let value = values(headers, name).next()?;
            let first = value.split(',').next()?.trim();
            (!first.is_empty()).then(|| first.to_owned())
        };
        if read.client.is_none() {
            read.client = leftmost("x-forwarded-for").map(|client| node(&client));
        }
        if read.host.is_none() {
            read.host = leftmost("x-forwarded-host");
        }
        if read.scheme.is_none() {
            read.scheme = leftmost("x-forwarded-proto").and_then(|scheme| lower_scheme(&scheme));
        }
        read
    }

    /// `Forwarded: for=192.0.2.43;proto=http, for="[2001:db8::17]:4711"`: the first of each kind.
    fn take_forwarded(&mut self, value: &str) {
        for pair in split_outside_quotes(value) {
            let Some((key, text)) = pair.split_once('=') else { continue };
            let text = unquoted(text.trim());
            match key.trim().to_ascii_lowercase().as_str() {
                "for" if self.client.is_none() => self.client = Some(node(&text)),
                "host" if self.host.is_none() && !text.is_empty() => {
                    self.host = Some(text.into_owned());
                }
                "proto" if self.scheme.is_none() => self.scheme = lower_scheme(&text),
                _ => {}
            }
        }
    }
}

/// Values of a header, lossily as text.
pub(in crate::trace) fn values<'a>(
    headers: &'a [Header],
    name: &'a str,
) -> impl Iterator<Item = Cow<'a, str>> {
    headers.iter().filter(move |(key, _)| *key == name).map(|(_, value)| lossy(value))
}

/// A node (RFC 7239 §6) without its port; `None` for `unknown`.
fn node(text: &str) -> Option<String> {
    let (host, _) = host_and_port(text);
    (!host.is_empty() && !host.eq_ignore_ascii_case("unknown")).then(|| host.to_owned())
}

fn lower_scheme(text: &str) -> Option<String> {
    is_scheme(text).then(|| text.to_ascii_lowercase())
}

/// Parameters of all elements: split at `,` and `;` that are not inside a quoted string.
fn split_outside_quotes(value: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    value.split(move |character| {
        if escaped {
            escaped = false;
            return false;
        }
        match character {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' => return !quoted,
            _ => {}
        }
        false
    })
}

/// The text of a quoted string (RFC 9110 §5.6.4), or the text itself.
fn unquoted(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut escaped = false;
    Cow::Owned(
        inner
            .chars()
            .filter(|character| {
                escaped = *character == '\\' && !escaped;
                !escaped
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Forwarded {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
        Forwarded::of(&headers)
    }

    fn client(text: &str) -> Option<Option<String>> {
        read(&[("forwarded", text)]).client
    }

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(client("for=\"_gazonk\""), Some(Some("_gazonk".into())));
        assert_eq!(
            client("For=\"[2001:db8:cafe::17]:4711\""),
            Some(Some("2001:db8:cafe::17".into()))
        );
        assert_eq!(client("for=192.0.2.43, for=198.51.100.17"), Some(Some("192.0.2.43".into())));
        assert_eq!(client("for=unknown, for=198.51.100.17"), Some(None));
        let all =
            read(&[("forwarded", "for=192.0.2.60;proto=HTTP;by=203.0.113.43;host=\"shop:81\"")]);
        assert_eq!(all.scheme.as_deref(), Some("http"));
        assert_eq!(all.host.as_deref(), Some("shop:81"));
    }

    #[test]
    fn quotes_hide_separators() {
        let read = read(&[("forwarded", r#"host="a\",b;c";for=10.0.0.1"#)]);
        assert_eq!(read.host.as_deref(), Some("a\",b;c"));
        assert_eq!(read.client, Some(Some("10.0.0.1".into())));
    }

    #[test]
    fn the_old_headers() {
        let all = read(&[
            ("x-forwarded-for", "203.0.113.195:41237, 2001:db8::1"),
            ("x-forwarded-host", "shop.example, inner"),
            ("x-forwarded-proto", "https, http"),
        ]);
        assert_eq!(all.client, Some(Some("203.0.113.195".into())));
        assert_eq!(all.host.as_deref(), Some("shop.example"));
        assert_eq!(all.scheme.as_deref(), Some("https"));
        assert_eq!(
            read(&[("x-forwarded-for", "2001:db8::1")]).client,
            Some(Some("2001:db8::1".into()))
        );
    }

    #[test]
    fn the_new_header_wins_part_by_part() {
        let both = read(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=2.2.2.2"),
        ]);
        assert_eq!(both.client, Some(Some("2.2.2.2".into())));
        assert_eq!(both.scheme.as_deref(), Some("https"));
    }

    #[test]
    fn nonsense_is_nothing() {
        assert_eq!(read(&[("forwarded", "garbage;;=,host=")]), Forwarded::default());
        assert_eq!(
            read(&[("x-forwarded-proto", "ht tp"), ("x-forwarded-for", " ,a")]),
            Forwarded::default()
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read(a: String, b: String) {
            let _ = read(&[("forwarded", &a), ("x-forwarded-for", &b), ("x-forwarded-host", &a)]);
        }
    }
}
