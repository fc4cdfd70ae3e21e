//! The `traceparent` header (W3C Trace Context Level 2, §3.2): who called, in 55 characters.
//!
//! Reads every version, writes version 00. What breaks a rule is no context at all; nothing is ever repaired.

/// Bit of the trace flags: the caller recorded its span (§3.2.2.5.1).
pub(in crate::trace) const SAMPLED: u8 = 0x01;
/// Bit of the trace flags: the right-most 7 bytes of the trace id are random (§3.2.2.5.2).
pub(in crate::trace) const RANDOM: u8 = 0x02;

/// Length of a version 00 value, and the least of any later one (§3.2.2).
const LENGTH: usize = 55;

/// The caller's span, as a header names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trace) struct TraceParent {
    /// Never all zero.
    pub trace: [u8; 16],
    /// The caller's span id, never zero.
    pub parent: u64,
    /// Only the bits this level knows: [`SAMPLED`], [`RANDOM`].
    pub flags: u8,
}

/// What a request's `traceparent` headers come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::trace) enum Incoming {
    /// There is none.
    Absent,
    /// There is one too many, or it breaks the rules: a new trace begins.
    Invalid,
    /// The caller.
    Valid(TraceParent),
}

impl Incoming {
    /// Reads all values of the header that a request has. Two are as bad as none: which one is right cannot be known.
    pub(in crate::trace) fn of(values: &[Vec<u8>]) -> Self {
        match values {
            [] => Self::Absent,
            [one] => TraceParent::parse(one).map_or(Self::Invalid, Self::Valid),
            _ => Self::Invalid,
        }
    }
}

impl TraceParent {
    /// Reads one header value.
    pub(in crate::trace) fn parse(value: &[u8]) -> Option<Self> {
        let value = trim(value);
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let version = hex(&known[0..2])?;
        // §3.2.2.1: ff is invalid. §3.2.4: what a later version adds comes after one more dash.
        match (version, rest.first()) {
            (0xff, _) => return None,
            (_, None) => {}
            (0, Some(_)) => return None,
            (_, Some(b'-')) => {}
            (_, Some(_)) => return None,
        }
        if known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
            return None;
        }
        let trace = u128::from(hex(&known[3..19])?) << 64 | u128::from(hex(&known[19..35])?);
        let parent = hex(&known[36..52])?;
        let flags = hex(&known[53..55])?.to_le_bytes()[0];
        // §3.2.2.3 and §3.2.2.4: all zeros is no id.
        (trace != 0 && parent != 0).then(|| Self {
            trace: trace.to_be_bytes(),
            parent,
            flags: flags & (SAMPLED | RANDOM),
        })
    }
}

/// Up to sixteen hex digits, lower case only (§3.2.2).
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

/// A field value without the optional white space around it (RFC 9110 §5.5).
pub(in crate::trace) fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let Some(first) = value.iter().position(|byte| !blank(byte)) else { return &[] };
    let last = value.iter().rposition(|byte| !blank(byte)).unwrap_or(first);
    &value[first..=last]
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    impl fmt::Display for TraceParent {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(
                f,
                "00-{:032x}-{:016x}-{:02x}",
                u128::from_be_bytes(self.trace),
                self.parent,
                self.flags
            )
        }
    }

    fn parse(text: &str) -> Option<TraceParent> {
        TraceParent::parse(text.as_bytes())
    }

    #[test]
    fn the_example_of_the_recommendation() {
        let read = parse(&format!("00-{TRACE}-{PARENT}-01")).unwrap();
        assert_eq!(read.trace[..4], [0x4b, 0xf9, 0x2f, 0x35]);
        assert_eq!(read.parent, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(read.flags, SAMPLED);
    }

    #[test]
    fn what_is_accepted() {
        for (text, flags) in [
            (format!("00-{TRACE}-{PARENT}-00"), 0),
            (format!("00-{TRACE}-{PARENT}-02"), RANDOM),
            (format!("00-{TRACE}-{PARENT}-03"), SAMPLED | RANDOM),
            // Unknown flags are ignored.
            (format!("00-{TRACE}-{PARENT}-ff"), SAMPLED | RANDOM),
            (format!("00-{TRACE}-{PARENT}-fc"), 0),
            (format!("  00-{TRACE}-{PARENT}-01"), SAMPLED),
            (format!("\t00-{TRACE}-{PARENT}-01\t "), SAMPLED),
            // Later versions: the first 55 characters are what they were.
            (format!("01-{TRACE}-{PARENT}-01"), SAMPLED),
            (format!("cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like"), SAMPLED),
            (format!("cc-{TRACE}-{PARENT}-01-"), SAMPLED),
            (format!("fe-{TRACE}-{PARENT}-00-.!"), 0),
        ] {
            let read = parse(&text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.flags, flags, "{text}");
            assert_eq!(read.parent, 0x00f0_67aa_0ba9_02b7, "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        let upper = TRACE.to_uppercase();
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            " ".into(),
            "00".into(),
            format!("00-{TRACE}-{PARENT}-01-"),
            format!("00-{TRACE}-{PARENT}-01."),
            format!("00-{TRACE}-{PARENT}-011"),
            format!("00-{TRACE}-{PARENT}-01-what-the-future-will-be-like"),
            format!("00-{TRACE}-{PARENT}-1"),
            format!("00-{TRACE}-{PARENT}-.0"),
            format!("00-{TRACE}-{PARENT}-0G"),
            format!("00-{TRACE}-{PARENT}-0A"),
            format!("00-{TRACE}-{PARENT}"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("FE-{TRACE}-{PARENT}-01"),
            format!("0-{TRACE}-{PARENT}-01"),
            format!(".0-{TRACE}-{PARENT}-01"),
            format!("000-{TRACE}-{PARENT}-01"),
            format!("cc-{TRACE}-{PARENT}-01.what"),
            format!("cc-{TRACE}-{PARENT}-0"),
            format!("00-{upper}-{PARENT}-01"),
            format!("00-{zeros}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}0-{PARENT}-01"),
            format!("00-.{}-{PARENT}-01", &TRACE[1..]),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}-{}-01", &PARENT[1..]),
            format!("00-{TRACE}-{PARENT}0-01"),
            format!("00-{TRACE}-.{}-01", &PARENT[1..]),
            format!("00 {TRACE}-{PARENT}-01"),
            format!("00-{TRACE} {PARENT}-01"),
            format!("00-{TRACE}-{PARENT} 01"),
            format!("00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01"),
        ] {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }

    #[test]
    fn several_headers_are_none() {
        let good = format!("00-{TRACE}-{PARENT}-01").into_bytes();
        assert_eq!(Incoming::of(&[]), Incoming::Absent);
        assert!(matches!(Incoming::of(std::slice::from_ref(&good)), Incoming::Valid(_)));
        assert_eq!(Incoming::of(&[good.clone(), good.clone()]), Incoming::Invalid);
        assert_eq!(Incoming::of(&[good, b"x".to_vec()]), Incoming::Invalid);
        assert_eq!(Incoming::of(&[Vec::new()]), Incoming::Invalid);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceParent::parse(&bytes);
        }

        #[test]
        fn one_changed_byte_never_panics_and_never_makes_a_zero_id(at in 0usize..55, byte: u8) {
            let mut text = format!("00-{TRACE}-{PARENT}-01").into_bytes();
            text[at] = byte;
            if let Some(read) = TraceParent::parse(&text) {
                prop_assert_ne!(read.trace, [0; 16]);
                prop_assert_ne!(read.parent, 0);
            }
        }

        #[test]
        fn what_is_written_is_read_alike(trace in 1u128.., parent in 1u64.., flags in 0u8..4) {
            let written = TraceParent { trace: trace.to_be_bytes(), parent, flags };
            prop_assert_eq!(parse(&written.to_string()), Some(written));
        }
    }
}
