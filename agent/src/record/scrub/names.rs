//! Which names have secret values: of headers, of query parameters, of command-line arguments.
//!
//! Broader than what spans redact: a recording is sent to other people.

/// A name that contains one of these has a secret value.
const PARTS: [&[u8]; 14] = [
    b"token",
    b"secret",
    b"passw",
    b"pwd",
    b"api-key",
    b"apikey",
    b"api_key",
    b"auth",
    b"credential",
    b"signature",
    b"session",
    b"cookie",
    b"private",
    b"accesskey",
];

/// A name that is one of these has one too.
const WHOLE: [&[u8]; 9] =
    [b"sig", b"key", b"code", b"sid", b"jwt", b"otp", b"pin", b"pass", b"state"];

/// Longest name that is looked at. What is longer is taken for secret.
pub(super) const LONGEST: usize = 64;

/// The value of this name must be hidden. `name` in any case.
pub(super) fn is_secret(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    name.len() >= LONGEST
        || WHOLE.contains(&lower.as_slice())
        || PARTS.iter().any(|part| lower.windows(part.len()).any(|w| w == *part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_secret_and_context_is_not() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "Cookie",
            "set-cookie",
            "X-API-Key",
            "X-Amz-Security-Token",
            "X-Amz-Signature",
            "X-Amz-Credential",
            "X-Goog-Signature",
            "AWSAccessKeyId",
            "Signature",
            "sig",
            "access_token",
            "password",
        ] {
            assert!(is_secret(name.as_bytes()), "{name}");
        }
        for name in [
            "Host",
            "User-Agent",
            "traceparent",
            "tracestate",
            "X-Forwarded-For",
            "Forwarded",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "id",
            "page",
        ] {
            assert!(!is_secret(name.as_bytes()), "{name}");
        }
        assert!(is_secret(&[b'a'; LONGEST]));
    }
}
