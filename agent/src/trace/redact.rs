//! Taking secrets out of URLs before anything else sees them (D13; semconv 1.44, `url.full` and `url.query`).
//!
//! Rather a value too many than one too few: keys are compared after percent-decoding. Keys themselves stay.

use std::borrow::Cow;

/// What stands where a secret was.
const REDACTED: &str = "REDACTED";

/// Query keys whose values are secrets, compared case-sensitively: today's list (semconv 1.44) and what older
/// releases had on theirs.
pub(in crate::trace) const QUERY_KEYS: [&str; 7] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Goog-Signature",
    "sig",
    "AWSAccessKeyId",
    "Signature",
];

/// Query keys whose values are credentials wherever they are seen, in any case.
const CREDENTIALS: [&str; 21] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "auth_token",
    "authorization",
    "client_secret",
    "credential",
    "credentials",
    "id_token",
    "jwt",
    "passwd",
    "password",
    "pwd",
    "refresh_token",
    "secret",
    "session",
    "session_id",
    "sessionid",
    "token",
];

/// A query (without `?`) with the values of `keys` replaced.
pub(in crate::trace) fn query<'a>(query: &'a str, keys: &[String]) -> Cow<'a, str> {
    if query.split('&').all(|pair| secret_key(pair, keys).is_none()) {
        return Cow::Borrowed(query);
    }
    let pairs: Vec<Cow<'_, str>> = query
        .split('&')
        .map(|pair| {
            secret_key(pair, keys)
                .map_or(Cow::Borrowed(pair), |key| format!("{key}={REDACTED}").into())
        })
        .collect();
    Cow::Owned(pairs.join("&"))
}

/// The key of a pair whose value is a secret.
fn secret_key<'a>(pair: &'a str, keys: &[String]) -> Option<&'a str> {
    let (key, _) = pair.split_once('=')?;
    let decoded = decoded(key);
    let is_secret = keys.iter().any(|secret| secret.as_bytes() == &*decoded)
        || CREDENTIALS.iter().any(|secret| decoded.eq_ignore_ascii_case(secret.as_bytes()));
    is_secret.then_some(key)
}

/// An authority (RFC 3986 §3.2) with user name and password replaced.
pub(in crate::trace) fn authority(authority: &str) -> Cow<'_, str> {
    // The last `@`: a password may hold one that nobody encoded.
    let at = memchr::memrchr(b'@', authority.as_bytes());
    match at.map(|at| (&authority[..at], &authority[at + 1..])) {
        None => Cow::Borrowed(authority),
        Some((user, host)) if user.contains(':') => format!("{REDACTED}:{REDACTED}@{host}").into(),
        Some((_, host)) => format!("{REDACTED}@{host}").into(),
    }
}

/// Percent-decoded; what is not an escape stays as it is.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    while let Some((&first, rest)) = bytes.split_first() {
        match escape(bytes) {
            Some(byte) => {
                out.push(byte);
                bytes = &bytes[3..];
            }
            None => {
                out.push(first);
                bytes = rest;
            }
        }
    }
    Cow::Owned(out)
}

/// The byte of an escape (`%2D`) that `bytes` begins with.
fn escape(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn default_keys() -> Vec<String> {
        QUERY_KEYS.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn secrets_go_and_keys_stay() {
        for (given, expected) in [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("sig=abc", "sig=REDACTED"),
            ("Token=abc&tokens=3", "Token=REDACTED&tokens=3"),
            ("a=1&api%5Fkey=abc", "a=1&api%5Fkey=REDACTED"),
            ("a=1&sig=abc&b=2", "a=1&sig=REDACTED&b=2"),
            ("sig=a&sig=b", "sig=REDACTED&sig=REDACTED"),
            ("sig=a=b", "sig=REDACTED"),
            ("sig=", "sig=REDACTED"),
            ("sig", "sig"),
            ("SIG=abc&mysig=1", "SIG=abc&mysig=1"),
            (
                "X-Amz-Signature=x&X-Amz-Credential=y&X-Amz-Security-Token=z&X-Goog-Signature=w",
                "X-Amz-Signature=REDACTED&X-Amz-Credential=REDACTED&X-Amz-Security-Token=REDACTED&X-Goog-Signature=REDACTED",
            ),
            ("AWSAccessKeyId=1&Signature=2", "AWSAccessKeyId=REDACTED&Signature=REDACTED"),
            ("X%2DAmz%2dSignature=x", "X%2DAmz%2dSignature=REDACTED"),
            ("%73ig=x&100%=y&%zz=1", "%73ig=REDACTED&100%=y&%zz=1"),
        ] {
            assert_eq!(query(given, &default_keys()), expected);
        }
    }

    #[test]
    fn a_list_of_ones_own_replaces_the_list() {
        assert_eq!(query("sig=1&token=2", &["token".into()]), "sig=1&token=REDACTED");
        assert_eq!(query("sig=1", &[]), "sig=1");
    }

    #[test]
    fn nobody_is_named_in_an_authority() {
        for (given, expected) in [
            ("shop:80", "shop:80"),
            ("me:secret@shop", "REDACTED:REDACTED@shop"),
            ("me@shop:80", "REDACTED@shop:80"),
            ("me:p@ss@shop", "REDACTED:REDACTED@shop"),
            (":@shop", "REDACTED:REDACTED@shop"),
        ] {
            assert_eq!(authority(given), expected);
        }
    }

    proptest! {
        #[test]
        fn no_secret_survives(before in "[a-z0-9%&=]{0,20}", secret in "[A-Z]{12,20}", after in "[a-z0-9%&=]{0,20}") {
            let given = format!("{before}&sig={secret}&{after}");
            let redacted = query(&given, &default_keys());
            prop_assert!(!redacted.contains(&secret));
        }
    }
}
