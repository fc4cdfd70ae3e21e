//! What differs on purpose, each with its reason.
//!
//! A tag names the one odd thing of a case (`messages`). An entry without a difference left is an error, so that this list
//! says what is.

/// A difference.
pub(crate) struct Difference {
    /// Of which cases.
    pub(crate) tag: &'static str,
    /// Why it is right.
    #[allow(dead_code, reason = "it is there for who reads it")]
    pub(crate) why: &'static str,
    /// They read a message, too, and it ends elsewhere.
    pub(crate) elsewhere: bool,
}

const fn because(tag: &'static str, why: &'static str) -> Difference {
    Difference { tag, why, elsewhere: false }
}

const fn elsewhere(tag: &'static str, why: &'static str) -> Difference {
    Difference { tag, why, elsewhere: true }
}

/// What we read and they refuse: some server reads it, and we watch what servers do.
const LINE: &str = "a line that is no header is passed over: to refuse it is the server's affair; where it speaks of the body, that is unknown";
const FOLD: &str = "obsolete line folding may be read as spaces (RFC 9112 §5.2)";
const VALUE: &str = "a value's odd bytes change nothing about the message's end";
const LF: &str =
    "a bare LF may end a line (RFC 9112 §2.2), and many servers let it do so in chunks, too";
const SPACE: &str = "space before the colon is passed over by some servers, and must be refused by others (RFC 9112 §5.1)";
const CHUNK: &str = "what stands behind a chunk's size is passed over (RFC 9112 §7.1.1)";
const SAME: &str = "the same length several times may be read as that length (RFC 9110 §8.6)";
const BOTH: &str = "chunked beats a length (RFC 9112 §6.3), as long as it is not refused";
const CODED: &str = "an answer in another coding goes on until the connection closes (RFC 9112 §6.3); its end is told there";
const CODINGS: &str = "h11 knows no coding but chunked, alone and once";
const TRAILER: &str = "a trailer says nothing about the message's end any more";
const TARGET: &str =
    "targets with bytes beyond ASCII are sent by browsers of old and served by many";
const EMPTY: &str =
    "empty lines before a request are passed over (RFC 9112 §2.2), however many there are";
const METHODS: &str = "Node knows a list of methods; others serve any, and the span says `_OTHER`";

/// Where they are wrong.
const TAB: &str = "white space around a value may be a tab (RFC 9110 §5.6.3); Node then does not know the coding any more";

/// What they read and we refuse.
const LINE_START: &str = "where HTTP begins is told by a whole and exact first line, since other protocols pass here, too";
const CAPITALS: &str = "a method that is not in capitals is not believed: see `line.rs`";
const VERSION: &str = "versions and status codes that nobody speaks are none";

/// With Node.
pub(crate) const LLHTTP: &[Difference] = &[
    elsewhere("chunked with tab behind", TAB),
    because("folded value", FOLD),
    because("folded empty line", FOLD),
    because("folded first header", FOLD),
    because("length folded", FOLD),
    because("chunked folded", FOLD),
    because("trailer folded", FOLD),
    because("space before colon", SPACE),
    because("chunked with space before colon", SPACE),
    because("length with space before colon", SPACE),
    because("no colon", LINE),
    because("empty name", LINE),
    because("space in name", LINE),
    because("high byte in name", LINE),
    because("trailer that is none", LINE),
    because("NUL in value", VALUE),
    because("control in value", VALUE),
    because("bare CR in value", VALUE),
    because("CR CR LF", VALUE),
    because("bare LF", LF),
    because("chunk line with bare LF", LF),
    because("chunk data with bare LF", LF),
    because("chunk extension with bare LF", LF),
    because("last chunk with bare LF", LF),
    because("last line with bare LF", LF),
    because("trailer with bare LF", LF),
    because("length twice", SAME),
    because("length as a list", SAME),
    because("chunked with length", BOTH),
    because("length with chunked", BOTH),
    because("chunk extension with spaces", CHUNK),
    because("chunk extension with high bytes", CHUNK),
    because("chunk extension with control", CHUNK),
    because("chunk size with space", CHUNK),
    because("chunk line with CR CR LF", CHUNK),
    because("chunk extension with bare CR", CHUNK),
    because("trailer with length", TRAILER),
    because("chunked twice", CODINGS),
    because("target with high bytes", TARGET),
    because("two spaces", LINE_START),
    because("two spaces before version", LINE_START),
    because("other protocol", LINE_START),
    because("empty lines before", LINE_START),
    because("unknown method", METHODS),
    because("no version", VERSION),
    because("version 2.0", VERSION),
    because("version 0.9", VERSION),
    because("status 099", VERSION),
];

/// With h11.
pub(crate) const H11: &[Difference] = &[
    because("folded first header", FOLD),
    because("space before colon", SPACE),
    because("chunked with space before colon", SPACE),
    because("length with space before colon", SPACE),
    because("no colon", LINE),
    because("empty name", LINE),
    because("space in name", LINE),
    because("high byte in name", LINE),
    because("trailer that is none", LINE),
    because("NUL in value", VALUE),
    because("bare CR in value", VALUE),
    because("CR CR LF", VALUE),
    because("chunk line with bare LF", LF),
    because("chunk data with bare LF", LF),
    because("chunk extension with bare LF", LF),
    because("last chunk with bare LF", LF),
    because("chunk extension with spaces", CHUNK),
    because("chunk line with CR CR LF", CHUNK),
    because("gzip after chunked", CODED),
    because("identity", CODED),
    because("not quite chunked", CODED),
    because("chunked with a parameter", CODED),
    because("chunked quoted", CODED),
    because("chunked, then nothing", CODED),
    because("chunked after gzip", CODINGS),
    because("chunked after gzip in two", CODINGS),
    because("chunked twice", CODINGS),
    because("target with high bytes", TARGET),
    because("target without slash", LINE_START),
    because("empty lines between", EMPTY),
    because("method in small letters", CAPITALS),
    because("method with odd characters", CAPITALS),
    because("version 1.2", VERSION),
    because("version 2.0", VERSION),
    because("version 0.9", VERSION),
    because("answer of version 1.2", VERSION),
];

/// Whether a CR stands alone somewhere. Node takes one in a status line for the line's end, which it is not (RFC 9112 §2.2).
pub(crate) fn has_bare_return(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two[0] == b'\r' && two[1] != b'\n')
}
