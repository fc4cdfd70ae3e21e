//! The cases: plain messages, each alone and between others, with one thing in it that may be read in two ways.
//!
//! Enumerated, not drawn: every variation stands in every place. Only [`mutations`] are drawn, from a fixed seed.

/// What is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What a client sends.
    Request,
    /// What a server sends.
    Response,
}

/// A stream of messages.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The one thing that is not plain.
    pub(crate) tag: &'static str,
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    /// Of answers: the methods of their requests.
    pub(crate) methods: Vec<&'static str>,
    /// The sender has closed after that.
    pub(crate) closed: bool,
}

/// What may stand in a head, and the body that follows: neither says more about framing than is right.
const HEADERS: &[(&str, &[u8], &[u8])] = &[
    ("none", b"", b""),
    ("plain header", b"X: y\r\n", b""),
    ("no space after colon", b"X:y\r\n", b""),
    ("spaces around value", b"X:  \ty \t \r\n", b""),
    ("empty value", b"X:\r\n", b""),
    ("empty value with space", b"X: \r\n", b""),
    ("high bytes in value", b"X: \xc3\xa9\xff\r\n", b""),
    ("every token character", b"!#$%&'*+-.^_`|~09: y\r\n", b""),
    ("folded value", b"X: a\r\n b\r\n\tc\r\n", b""),
    ("folded empty line", b"X: a\r\n \r\n", b""),
    ("folded first header", b" X: a\r\n", b""),
    ("space before colon", b"X : y\r\n", b""),
    ("no colon", b"no header\r\n", b""),
    ("empty name", b": y\r\n", b""),
    ("space in name", b"X Y: z\r\n", b""),
    ("high byte in name", b"X\xe9: z\r\n", b""),
    ("NUL in value", b"X: a\0b\r\n", b""),
    ("control in value", b"X: a\x01b\r\n", b""),
    ("tab in value", b"X: a\tb\r\n", b""),
    ("bare CR in value", b"X: a\rb\r\n", b""),
    ("bare LF", b"X: a\n", b""),
    ("CR CR LF", b"X: a\r\r\n", b""),
    ("length", b"Content-Length: 5\r\n", b"hello"),
    ("length in capitals", b"CONTENT-LENGTH:5\r\n", b"hello"),
    ("length zero", b"Content-Length: 0\r\n", b""),
    ("length with zeros", b"Content-Length: 0005\r\n", b"hello"),
    ("length with spaces", b"Content-Length:   5  \r\n", b"hello"),
    ("length twice", b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"),
    ("length as a list", b"Content-Length: 5, 5\r\n", b"hello"),
    ("lengths differ", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"),
    ("lengths of a list differ", b"Content-Length: 5, 6\r\n", b"hello"),
    ("length with plus", b"Content-Length: +5\r\n", b"hello"),
    ("length negative", b"Content-Length: -5\r\n", b"hello"),
    ("length hexadecimal", b"Content-Length: 0x5\r\n", b"hello"),
    ("length in two words", b"Content-Length: 5 5\r\n", b"hello"),
    ("length empty", b"Content-Length: \r\n", b""),
    ("length too large", b"Content-Length: 99999999999999999999999\r\n", b"hello"),
    ("length folded", b"Content-Length:\r\n 5\r\n", b"hello"),
    ("length with vertical tab", b"Content-Length: \x0b5\r\n", b"hello"),
    ("length in Arabic digits", b"Content-Length: \xd9\xa5\r\n", b"hello"),
    ("chunked", CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"),
    ("chunked in capitals", b"TRANSFER-ENCODING: CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ("chunked, no space", b"Transfer-Encoding:chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ("chunked with tab behind", b"Transfer-Encoding: chunked\t\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ("chunked after gzip", b"Transfer-Encoding: gzip, chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    (
        "chunked after gzip in two",
        b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
    ),
    ("gzip after chunked", b"Transfer-Encoding: chunked, gzip\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ("identity", b"Transfer-Encoding: identity\r\n", b""),
    ("not quite chunked", b"Transfer-Encoding: xchunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ("chunked with vertical tab", b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    ("chunked with a parameter", b"Transfer-Encoding: chunked;x=y\r\n", b"0\r\n\r\n"),
    ("chunked quoted", b"Transfer-Encoding: \"chunked\"\r\n", b"0\r\n\r\n"),
    ("chunked, then nothing", b"Transfer-Encoding: chunked,\r\n", b"0\r\n\r\n"),
    (
        "chunked twice",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
    ),
    ("chunked folded", b"Transfer-Encoding:\r\n chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    (
        "chunked with length",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "length with chunked",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
    ),
    ("chunked with space before colon", b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
    ("length with space before colon", b"Content-Length : 5\r\n", b"hello"),
];

/// The plain way to say it.
const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";

/// Chunked bodies.
const CHUNKS: &[(&str, &[u8])] = &[
    ("no chunks", b"0\r\n\r\n"),
    ("two chunks", b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"),
    ("chunk size in capitals", b"A\r\n0123456789\r\n0\r\n\r\n"),
    ("chunk size in small letters", b"a\r\n0123456789\r\n0\r\n\r\n"),
    ("chunk size with zeros", b"0005\r\nhello\r\n000\r\n\r\n"),
    ("chunk extension", b"5;a=b\r\nhello\r\n0;c\r\n\r\n"),
    ("chunk extension quoted", b"5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"),
    ("chunk extension with spaces", b"5 ; a = b\r\nhello\r\n0\r\n\r\n"),
    ("chunk extension with high bytes", b"5;\xc3\xa9\r\nhello\r\n0\r\n\r\n"),
    ("chunk extension with control", b"5;\x01\r\nhello\r\n0\r\n\r\n"),
    ("chunk size with space", b"5 \r\nhello\r\n0\r\n\r\n"),
    ("chunk size after space", b" 5\r\nhello\r\n0\r\n\r\n"),
    ("chunk size with plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    ("chunk size negative", b"-5\r\nhello\r\n0\r\n\r\n"),
    ("chunk size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("chunk size with underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    ("chunk size too large", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ("chunk size empty", b"\r\nhello\r\n0\r\n\r\n"),
    ("chunk size, other text", b"5z\r\nhello\r\n0\r\n\r\n"),
    ("chunk line with bare LF", b"5\nhello\r\n0\r\n\r\n"),
    ("chunk data with bare LF", b"5\r\nhello\n0\r\n\r\n"),
    ("chunk data without line end", b"5\r\nhello0\r\n\r\n"),
    ("chunk data too long", b"5\r\nhello!\r\n0\r\n\r\n"),
    ("chunk line with CR CR LF", b"5\r\r\nhello\r\n0\r\n\r\n"),
    ("chunk extension with bare CR", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("chunk extension with bare LF", b"5;a\nhello\r\n0\r\n\r\n"),
    ("last chunk with bare LF", b"5\r\nhello\r\n0\n\n"),
    ("last line with bare LF", b"5\r\nhello\r\n0\r\n\n"),
    ("trailer", b"5\r\nhello\r\n0\r\nSum: 1\r\n\r\n"),
    ("trailers", b"0\r\nSum: 1\r\nOther: 2\r\n\r\n"),
    ("trailer folded", b"0\r\nSum: 1\r\n 2\r\n\r\n"),
    ("trailer that is none", b"0\r\nnone\r\n\r\n"),
    ("trailer with length", b"0\r\nContent-Length: 5\r\n\r\n"),
    ("trailer with bare LF", b"0\r\nSum: 1\n\r\n"),
];

/// Request lines, without their ends.
const REQUEST_LINES: &[(&str, &[u8])] = &[
    ("GET", b"GET / HTTP/1.1"),
    ("HEAD", b"HEAD /a?b=c#d HTTP/1.1"),
    ("POST without body", b"POST / HTTP/1.1"),
    ("PROPFIND", b"PROPFIND /dav HTTP/1.1"),
    ("absolute form", b"GET http://h:80/a HTTP/1.1"),
    ("asterisk form", b"OPTIONS * HTTP/1.1"),
    ("unknown method", b"FROBNICATE / HTTP/1.1"),
    ("method in small letters", b"get / HTTP/1.1"),
    ("method with odd characters", b"X-v2.1~ / HTTP/1.1"),
    ("method that is no token", b"GE(T / HTTP/1.1"),
    ("target with high bytes", b"GET /\xc3\xa9 HTTP/1.1"),
    ("target with control", b"GET /\x01 HTTP/1.1"),
    ("target without slash", b"GET a HTTP/1.1"),
    ("two spaces", b"GET  / HTTP/1.1"),
    ("two spaces before version", b"GET /  HTTP/1.1"),
    ("tab", b"GET\t/ HTTP/1.1"),
    ("space at the end", b"GET / HTTP/1.1 "),
    ("space in target", b"GET /a b HTTP/1.1"),
    ("no version", b"GET /"),
    ("version in small letters", b"GET / http/1.1"),
    ("version 1.2", b"GET / HTTP/1.2"),
    ("version 2.0", b"GET / HTTP/2.0"),
    ("version 0.9", b"GET / HTTP/0.9"),
    ("version 1.10", b"GET / HTTP/1.10"),
    ("other protocol", b"GET / RTSP/1.0"),
    ("leading space", b" GET / HTTP/1.1"),
];

/// Status lines, without their ends, and what follows their heads.
const STATUS_LINES: &[(&str, &[u8], &[u8])] = &[
    ("no reason", b"HTTP/1.1 200 ", b""),
    ("no reason, no space", b"HTTP/1.1 200", b""),
    ("high bytes in reason", b"HTTP/1.1 200 \xc3\xa9", b""),
    ("control in reason", b"HTTP/1.1 200 \x01", b""),
    ("status 204", b"HTTP/1.1 204 No", b""),
    ("status 304", b"HTTP/1.1 304 No", b""),
    ("status 404", b"HTTP/1.1 404 No", b""),
    ("status 599", b"HTTP/1.1 599 No", b""),
    ("status 600", b"HTTP/1.1 600 No", b""),
    ("status 999", b"HTTP/1.1 999 No", b""),
    ("status 099", b"HTTP/1.1 099 No", b""),
    ("status of two digits", b"HTTP/1.1 20 No", b""),
    ("status of four digits", b"HTTP/1.1 2000 No", b""),
    ("status without space", b"HTTP/1.1 200OK", b""),
    ("two spaces before status", b"HTTP/1.1  200 OK", b""),
    ("answer of version 1.2", b"HTTP/1.2 200 OK", b""),
    ("answer of version 2", b"HTTP/2 200 OK", b""),
    ("answer in small letters", b"http/1.1 200 OK", b""),
    ("answer of another protocol", b"ICY 200 OK", b""),
    ("interim 100", b"HTTP/1.1 100 Continue", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("interim 103", b"HTTP/1.1 103 Hints", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
];

/// Every case.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut requests = Vec::new();
    let mut answers = Vec::new();
    for (tag, header, body) in HEADERS {
        requests.push((*tag, request(b"POST / HTTP/1.1", header, body)));
        // Without a length it would go on until the end.
        let length: &[u8] = if body.is_empty() { zero_unless(header) } else { b"" };
        let framed = [header, length].concat();
        answers.push((*tag, answer(b"HTTP/1.1 200 OK", &framed, body)));
    }
    for (tag, body) in CHUNKS {
        requests.push((*tag, request(b"POST / HTTP/1.1", CHUNKED, body)));
        answers.push((*tag, answer(b"HTTP/1.1 200 OK", CHUNKED, body)));
    }
    for (tag, line) in REQUEST_LINES {
        requests.push((*tag, request(line, b"", b"")));
    }
    for (tag, line, rest) in STATUS_LINES {
        let header: &[u8] = if rest.is_empty() { b"Content-Length: 0\r\n" } else { b"" };
        answers.push((*tag, answer(line, header, rest)));
    }
    let plain = request(b"GET /plain HTTP/1.1", b"", b"");
    let sized = request(b"PUT /sized HTTP/1.1", b"Content-Length: 3\r\n", b"abc");
    for (tag, odd) in &requests {
        for parts in [vec![odd], vec![&plain, odd, &sized], vec![&sized, odd, odd]] {
            // A stream that does not begin like HTTP is none, which is no matter of framing.
            cases.push(case(tag, Kind::Request, &parts, &[], false));
        }
    }
    let plain = answer(b"HTTP/1.1 200 OK", b"Content-Length: 2\r\n", b"ok");
    let chunked = answer(b"HTTP/1.1 200 OK", CHUNKED, b"2\r\nok\r\n0\r\n\r\n");
    for (tag, odd) in &answers {
        for parts in [vec![odd], vec![&plain, odd, &chunked], vec![&chunked, odd, odd]] {
            let methods = vec!["GET"; parts.len()];
            cases.push(case(tag, Kind::Response, &parts, &methods, false));
            cases.push(case(tag, Kind::Response, &parts, &methods, true));
        }
    }
    cases.extend(particular(&plain));
    cases
}

/// Cases that are no variation of a part.
fn particular(plain: &Vec<u8>) -> Vec<Case> {
    let response = Kind::Response;
    let unframed = answer(b"HTTP/1.1 200 OK", b"", b"until the end");
    let old = answer(b"HTTP/1.0 200 OK", b"", b"until the end");
    let long = answer(b"HTTP/1.1 200 OK", b"Content-Length: 500\r\n", b"");
    let coded = answer(b"HTTP/1.1 200 OK", CHUNKED, b"");
    let empty_lines = [b"\r\n\r\n".as_slice(), &request(b"GET / HTTP/1.1", b"", b"")].concat();
    let get = request(b"GET / HTTP/1.1", b"", b"");
    let sized = |status: &str| {
        let line = format!("HTTP/1.1 {status} Some");
        answer(line.as_bytes(), b"Content-Length: 5\r\n", b"")
    };
    let chunked = |status: &str| answer(format!("HTTP/1.1 {status} Some").as_bytes(), CHUNKED, b"");
    let old_chunks = answer(b"HTTP/1.0 200 OK", CHUNKED, b"2\r\nok\r\n0\r\n\r\n");
    let old_length = answer(b"HTTP/1.0 200 OK", b"Content-Length: 2\r\n", b"ok");
    let old_post = request(b"POST / HTTP/1.0", CHUNKED, b"2\r\nok\r\n0\r\n\r\n");
    let old_get = b"GET / HTTP/1.0\r\n\r\n".to_vec();
    vec![
        case("until the end", response, &[plain, &unframed], &["GET", "GET"], true),
        case("until an end that never came", response, &[plain, &unframed], &["GET", "GET"], false),
        case("1.0 until the end", response, &[&old], &["GET"], true),
        case("answers to HEAD", response, &[&long, &coded, plain], &["HEAD", "HEAD", "GET"], true),
        case("204 with a length", response, &[&sized("204"), plain], &["GET"; 2], true),
        case("304 with a length", response, &[&sized("304"), plain], &["GET"; 2], true),
        case("304 with chunks", response, &[&chunked("304"), plain], &["GET"; 2], true),
        case("204 with chunks", response, &[&chunked("204"), plain], &["GET"; 2], true),
        case("205 with a length", response, &[&sized("205"), plain], &["GET"; 2], true),
        case("1.0 with chunks", response, &[&old_chunks], &["GET"], true),
        case("1.0 with a length", response, &[&old_length], &["GET"], true),
        case("1.0 with chunks from a client", Kind::Request, &[&old_post], &[], false),
        case("cut in a body", response, &[plain, &long], &["GET", "GET"], true),
        case("cut in chunks", response, &[plain, &coded], &["GET", "GET"], true),
        case("empty lines before", Kind::Request, &[&empty_lines], &[], false),
        case("empty lines between", Kind::Request, &[&get, &empty_lines], &[], false),
        case("1.0", Kind::Request, &[&old_get], &[], false),
        case("cut in a head", Kind::Request, &[&get, &get[..20].to_vec()], &[], true),
    ]
}

/// Plain streams with some bytes changed, taken out or put in.
pub(crate) fn mutations(count: usize) -> Vec<Case> {
    const ODD: &[u8] = b"\r\n\t :;,0159afXchunked\0\x0b\x7f\x80";
    let plain: Vec<Case> = cases()
        .into_iter()
        .filter(|case| ["length", "chunked", "none", "trailer", "two chunks"].contains(&case.tag))
        .collect();
    let mut draw = Draw(0x5eed);
    (0..count)
        .map(|_| {
            let mut case = plain[draw.below(plain.len())].clone();
            case.tag = "mutated";
            for _ in 0..=draw.below(3) {
                let at = draw.below(case.bytes.len());
                let byte = ODD[draw.below(ODD.len())];
                match draw.below(3) {
                    0 => case.bytes[at] = byte,
                    1 => case.bytes.insert(at, byte),
                    _ => drop(case.bytes.remove(at)),
                }
            }
            case
        })
        .collect()
}

/// Numbers that are the same in every run (xorshift64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n as u64).expect("it is below a usize")
    }
}

fn case(
    tag: &'static str,
    kind: Kind,
    parts: &[&Vec<u8>],
    methods: &[&'static str],
    closed: bool,
) -> Case {
    let bytes = parts.iter().flat_map(|part| part.iter().copied()).collect();
    Case { tag, kind, bytes, methods: methods.to_vec(), closed }
}

fn request(line: &[u8], headers: &[u8], body: &[u8]) -> Vec<u8> {
    [line, b"\r\n", headers, b"Host: h\r\n\r\n", body].concat()
}

fn answer(line: &[u8], headers: &[u8], body: &[u8]) -> Vec<u8> {
    [line, b"\r\n", headers, b"Date: now\r\n\r\n", body].concat()
}

/// A length of zero for an answer whose headers say none.
fn zero_unless(header: &[u8]) -> &'static [u8] {
    let lower = header.to_ascii_lowercase();
    let says = |text: &[u8]| lower.windows(text.len()).any(|here| here == text);
    if says(b"content-length") || says(b"transfer-encoding") {
        b""
    } else {
        b"Content-Length: 0\r\n"
    }
}
