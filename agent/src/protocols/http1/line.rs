//! First lines: does a message start here?
//!
//! Asked of the first bytes of a direction and of a call, and of every message boundary. A verb alone is not enough:
//! the whole line must be one (RFC 9112 §3, §4). Decides, never changes anything.
#![forbid(unsafe_code)]

/// Longest method taken for one: the longest registered has 16 letters (IANA HTTP Method Registry).
const METHOD_MAX: usize = 24;

/// Longest field name that is waited for where only the beginning of a head tells that it is one: twice the longest
/// registered one (IANA HTTP Field Name Registry).
const FIELD_NAME_MAX: usize = 96;

/// Methods in use (IANA HTTP Method Registry, and PURGE), for where a message is looked for in the middle of
/// something: there a piece of a word could pass for one.
const METHODS: [&[u8]; 24] = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"CONNECT",
    b"TRACE",
    b"COPY",
    b"LINK",
    b"LOCK",
    b"MERGE",
    b"MKCOL",
    b"MKCALENDAR",
    b"MOVE",
    b"PROPFIND",
    b"PROPPATCH",
    b"PURGE",
    b"QUERY",
    b"REPORT",
    b"SEARCH",
    b"UNLINK",
    b"UNLOCK",
];

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<T> {
    /// The start of a message, and what its first line says.
    Yes(T),
    /// Perhaps, if the right bytes follow.
    More,
    /// Not the start of a message.
    No,
}

/// A request line (RFC 9112 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    /// Case kept.
    pub(super) method: &'a [u8],
    /// As it came.
    pub(super) target: &'a [u8],
    /// 0 or 1.
    pub(super) minor: u8,
}

impl RequestLine<'_> {
    /// Whether the method is one in use.
    pub(super) fn is_usual(&self) -> bool {
        METHODS.contains(&self.method)
    }
}

/// A status line (RFC 9112 §4), without its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine {
    /// 0 or 1.
    pub(super) minor: u8,
    /// 100 to 999.
    pub(super) status: u16,
}

/// Whether `bytes` begin with a request line: `METHOD SP target SP HTTP/1.x`, with a target of one of the four forms (RFC
/// 9112 §3.2). Of the tokens that could be a method (RFC 9110 §9.1) only those in capitals are taken for one: no client
/// sends others, and what is read by mistake must not put anybody's words into a method.
pub(super) fn request_line(bytes: &[u8]) -> Line<RequestLine<'_>> {
    let upper = |b: &u8| b.is_ascii_uppercase() || *b == b'-' || *b == b'_';
    let letters = bytes.iter().take(METHOD_MAX + 1).take_while(|b| upper(b)).count();
    let (method, rest) = bytes.split_at(letters);
    match rest.split_first() {
        None if letters <= METHOD_MAX => return Line::More,
        Some((b' ', _)) if letters > 0 && letters <= METHOD_MAX => {}
        _ => return Line::No,
    }
    let rest = &rest[1..];
    let visible = rest.iter().take_while(|b| **b > b' ' && **b != 0x7f).count();
    let (target, rest) = rest.split_at(visible);
    if !target_form(method, target, !rest.is_empty()) {
        return Line::No;
    }
    match version(rest, b" HTTP/1.") {
        Line::Yes((minor, rest)) => match rest {
            [b'\n', ..] | [b'\r', b'\n', ..] => Line::Yes(RequestLine { method, target, minor }),
            [] | [b'\r'] => Line::More,
            _ => Line::No,
        },
        Line::More => Line::More,
        Line::No => Line::No,
    }
}

/// Whether `bytes` begin with a status line: `HTTP/1.x SP 3DIGIT` and a space or the line's end.
pub(super) fn status_line(bytes: &[u8]) -> Line<StatusLine> {
    let (minor, rest) = match version(bytes, b"HTTP/1.") {
        Line::Yes(found) => found,
        Line::More => return Line::More,
        Line::No => return Line::No,
    };
    let fits = rest.iter().take(5).enumerate().all(|(i, b)| match i {
        0 => *b == b' ',
        1 => (b'1'..=b'9').contains(b),
        2 | 3 => b.is_ascii_digit(),
        _ => matches!(b, b' ' | b'\r' | b'\n'),
    });
    match rest {
        _ if !fits => Line::No,
        [_, a, b, c, _, ..] => {
            let digit = |d: &u8| u16::from(d - b'0');
            Line::Yes(StatusLine { minor, status: digit(a) * 100 + digit(b) * 10 + digit(c) })
        }
        _ => Line::More,
    }
}

/// Whether `bytes`, which begin with a first line, go on as a head does: with a field line or the blank line (RFC 9112
/// §2.1). The second fact about bytes that may lie anywhere: a line alone may be quoted by a log, a mail, a query.
pub(super) fn goes_on_as_head(bytes: &[u8]) -> Line<()> {
    let Some(end) = bytes.iter().position(|b| *b == b'\n') else { return Line::More };
    match &bytes[end + 1..] {
        [] | [b'\r'] => Line::More,
        [b'\n', ..] | [b'\r', b'\n', ..] => Line::Yes(()),
        field => {
            let name = field.iter().take(FIELD_NAME_MAX + 1).take_while(|b| is_token(**b)).count();
            match field.get(name) {
                Some(b':') if name > 0 => Line::Yes(()),
                None if name <= FIELD_NAME_MAX => Line::More,
                _ => Line::No,
            }
        }
    }
}

/// Whether a byte may stand in a token, such as a field's name: `tchar` (RFC 9110 §5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether a target, or what is here of it while it is not `whole`, is in origin, absolute, authority or asterisk form.
fn target_form(method: &[u8], target: &[u8], whole: bool) -> bool {
    match target.first() {
        None => true,
        Some(b'/') => true,
        Some(b'*') => target.len() == 1,
        Some(first) if method == b"CONNECT" => first.is_ascii_alphanumeric() || *first == b'[',
        Some(first) => {
            let scheme = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
            let end = target.iter().position(|b| !scheme(b)).unwrap_or(target.len());
            let rest = &target[end..];
            let may_follow = !whole && b"://".starts_with(rest);
            first.is_ascii_alphabetic() && (rest.starts_with(b"://") || may_follow)
        }
    }
}

/// The version's minor digit after `prefix`, and what follows.
fn version<'a>(bytes: &'a [u8], prefix: &[u8]) -> Line<(u8, &'a [u8])> {
    let here = bytes.len().min(prefix.len());
    if bytes[..here] != prefix[..here] {
        return Line::No;
    }
    match bytes.get(prefix.len()) {
        Some(minor @ (b'0' | b'1')) => Line::Yes((minor - b'0', &bytes[prefix.len() + 1..])),
        Some(_) => Line::No,
        None => Line::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_request(bytes: &[u8]) -> bool {
        matches!(request_line(bytes), Line::Yes(_))
    }

    #[test]
    fn request_lines_of_every_form() {
        let line = request_line(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n");
        assert_eq!(line, Line::Yes(RequestLine { method: b"GET", target: b"/a?b=c", minor: 1 }));
        assert!(is_request(b"OPTIONS * HTTP/1.1\r\n"));
        assert!(is_request(b"GET http://host/x HTTP/1.0\n"));
        assert!(is_request(b"CONNECT [::1]:443 HTTP/1.1\r\n"));
        assert!(is_request(b"M-SEARCH * HTTP/1.1\r\n"));
        assert!(is_request(b"GET /\xc3\xa9\xff HTTP/1.1\r\n"));
        assert!(is_request(b"FROBNICATE /x HTTP/1.1\r\n"));
    }

    #[test]
    fn a_verb_is_not_enough() {
        for bytes in [
            &b"GET key\r\n"[..],
            b"GET /x HTTP/2.0\r\n",
            b"GET /x\r\n",
            b"GET /x HTTP/1.1 more\r\n",
            b"GET  /x HTTP/1.1\r\n",
            b"get /x HTTP/1.1\r\n",
            b"GE(T /x HTTP/1.1\r\n",
            b"GET x HTTP/1.1\r\n",
            b"DESCRIBE rtsp://x/y RTSP/1.0\r\n",
            b"INVITE sip:a@b SIP/2.0\r\n",
            b"ICY 200 OK\r\n",
            b"MAIL FROM:<a@b>\r\n",
            b"set key 0 0 1\r\n",
            b"PRI * HTTP/2.0\r\n",
            b" GET / HTTP/1.1\r\n",
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"\x16\x03\x01\x02\x00",
        ] {
            assert_eq!(request_line(bytes), Line::No, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn every_prefix_asks_for_more() {
        for whole in
            [&b"GET /a/b HTTP/1.1\r\n"[..], b"GET http://h/ HTTP/1.0\r\n", b"OPTIONS * HTTP/1.1\n"]
        {
            for cut in 0..whole.len() {
                assert_eq!(
                    request_line(&whole[..cut]),
                    Line::More,
                    "{}",
                    whole[..cut].escape_ascii()
                );
            }
            assert!(is_request(whole));
        }
        let whole = b"HTTP/1.1 404 ";
        for cut in 0..whole.len() {
            assert_eq!(status_line(&whole[..cut]), Line::More);
        }
        assert_eq!(status_line(whole), Line::Yes(StatusLine { minor: 1, status: 404 }));
        assert_eq!(
            status_line(b"HTTP/1.0 200\r\n"),
            Line::Yes(StatusLine { minor: 0, status: 200 })
        );
    }

    #[test]
    fn a_head_goes_on_with_a_field_or_the_blank_line() {
        for whole in [
            &b"GET / HTTP/1.1\r\nHost:"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\n\n",
            b"HTTP/1.1 200 OK\r\nX-y_z.1:",
        ] {
            for cut in 0..whole.len() {
                let here = &whole[..cut];
                assert_eq!(goes_on_as_head(here), Line::More, "{}", here.escape_ascii());
            }
            assert_eq!(goes_on_as_head(whole), Line::Yes(()), "{}", whole.escape_ascii());
        }
        for bytes in [
            &b"GET / HTTP/1.1\r\nGET / HTTP/1.1\r\n"[..],
            b"GET / HTTP/1.1\n200 -",
            b"HTTP/1.1 200 OK\r\n: empty\r\n",
            b"HTTP/1.1 200 OK\r\n\x00\x01",
        ] {
            assert_eq!(goes_on_as_head(bytes), Line::No, "{}", bytes.escape_ascii());
        }
        let endless = [b"GET / HTTP/1.1\r\n".as_slice(), &[b'x'; FIELD_NAME_MAX + 1]].concat();
        assert_eq!(goes_on_as_head(&endless), Line::No);
    }

    #[test]
    fn what_is_no_status_line() {
        for bytes in
            [&b"HTTP/2 200 "[..], b"HTTP/1.1 020 ", b"HTTP/1.1 2000", b"HTTP/1.1-200 ", b"GET /"]
        {
            assert_eq!(status_line(bytes), Line::No, "{}", bytes.escape_ascii());
        }
    }
}
