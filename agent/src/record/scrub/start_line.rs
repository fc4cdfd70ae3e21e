//! Start lines: does a message begin here? Decides, hides nothing.
#![forbid(unsafe_code)]

/// What every status line begins with, and the last word of every request line.
const VERSION: &[u8] = b"HTTP/1.";

/// Methods by which a start line is known before its end has been seen (RFC 9110 §9, RFC 5789, WebDAV).
const METHODS: [&[u8]; 17] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"CONNECT",
    b"OPTIONS",
    b"TRACE",
    b"PATCH",
    b"QUERY",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"REPORT",
];

/// These bytes begin with the start line of an HTTP/1 message, as far as they go. Another protocol's first words,
/// such as `AUTH secret`, must not pass: a line that is not whole passes only with a known method.
pub(super) fn is_start(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|&b| b == b'\n') else {
        return begins_start(bytes);
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    if let Some(rest) = version(line) {
        let (status, after) = rest.split_at(rest.len().min(4));
        return status.starts_with(b" ")
            && status.len() == 4
            && matches!(status[1], b'1'..=b'9')
            && status[1..].iter().all(u8::is_ascii_digit)
            && matches!(after, [] | [b' ', ..]);
    }
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(last), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    is_method(method) && is_target(method, target) && version(last).is_some_and(<[u8]>::is_empty)
}

/// The same of a line whose end has not come.
fn begins_start(line: &[u8]) -> bool {
    if is_answer(line).unwrap_or(true) {
        return !line.is_empty();
    }
    let word = line.iter().position(|&b| b == b' ').unwrap_or(line.len());
    let (method, rest) = line.split_at(word);
    match rest {
        [] => METHODS.iter().any(|m| m.starts_with(method)),
        [_] => METHODS.contains(&method),
        [_, target @ ..] => {
            let target = target.split(|&b| b == b' ').next().unwrap_or_default();
            METHODS.contains(&method) && is_target(method, target)
        }
    }
}

/// These bytes may be the beginning of a start line with a method that is not known.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let word = bytes.split(|&b| b == b' ').next().unwrap_or_default();
    is_method(word) && !bytes.contains(&b'\n')
}

/// Of a start line, or its beginning: whether it is an answer's. A lone `H` may be a HEAD.
pub(super) fn is_answer(bytes: &[u8]) -> Option<bool> {
    (bytes != b"H").then(|| bytes.starts_with(VERSION) || VERSION.starts_with(bytes))
}

/// What follows `HTTP/1.0` or `HTTP/1.1`.
fn version(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(VERSION)?;
    rest.strip_prefix(b"0").or_else(|| rest.strip_prefix(b"1"))
}

/// Capitals, and what registered methods have between them.
fn is_method(word: &[u8]) -> bool {
    let letter = |b: &u8| b.is_ascii_uppercase() || matches!(b, b'-' | b'_');
    (1..=24).contains(&word.len()) && word.iter().all(letter)
}

/// One of the four forms of a target (RFC 9112 §3.2), or the beginning of one.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    match target {
        [b'/', ..] | [b'*'] => true,
        _ if method == b"CONNECT" => {
            matches!(target, [first, ..] if first.is_ascii_alphanumeric() || *first == b'[')
        }
        [first, ..] if first.is_ascii_alphabetic() => {
            let scheme = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
            let end = target.iter().position(|b| !scheme(b)).unwrap_or(target.len());
            target[end..].starts_with(b"://") || b"://".starts_with(&target[end..])
        }
        _ => false,
    }
}
