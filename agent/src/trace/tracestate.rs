//! The `tracestate` header (W3C Trace Context Level 2, §3.3): what vendors carry along, opaque to us.
//!
//! Passed on in span data, never interpreted. One bad member spoils the whole list, as the rules ask; the
//! `traceparent` beside it stays good.

use crate::trace::traceparent::trim;

/// Most list members (§3.3.1.1).
const MEMBERS: usize = 32;
/// Longest key and longest value (§3.3.1.3).
const PART: usize = 256;
/// Longest list kept: what everybody must at least propagate (§3.3.1.5), and so the bound of our memory.
const KEPT: usize = 512;
/// Members longer than this go first when a list is cut (§3.3.1.5).
const LONG: usize = 128;

/// What a request's `tracestate` headers come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::trace) enum TraceState {
    /// Nothing was sent.
    Empty,
    /// The list, members joined by commas, blanks and empty members left out.
    List {
        /// As span data has it.
        text: String,
        /// Members were left out because the list was too long.
        cut: bool,
    },
    /// It breaks the rules.
    Invalid,
}

impl TraceState {
    /// Reads all values of the header, in order. Only to be asked beside a valid `traceparent` (§3.3).
    pub(in crate::trace) fn of(values: &[Vec<u8>]) -> Self {
        let mut members: Vec<&str> = Vec::new();
        let mut keys: Vec<&str> = Vec::new();
        let parts = values.iter().flat_map(|value| value.split(|byte| *byte == b','));
        let mut seen = 0;
        for part in parts.map(trim).filter(|part| !part.is_empty()) {
            seen += 1;
            if seen > MEMBERS {
                return Self::Invalid;
            }
            let Some((key, member)) = member(part) else { return Self::Invalid };
            // The left-most entry of a key is the newest.
            if !keys.contains(&key) {
                keys.push(key);
                members.push(member);
            }
        }
        if members.is_empty() {
            return Self::Empty;
        }
        let cut = shorten(&mut members);
        Self::List { text: members.join(","), cut }
    }
}

/// Checks `key=value`; the key and the whole.
fn member(part: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(part).ok()?;
    let (key, value) = text.split_once('=')?;
    (key_is_valid(key.as_bytes()) && value_is_valid(value.as_bytes())).then_some((key, text))
}

/// `( lcalpha / DIGIT ) 0*255( lcalpha / DIGIT / "_" / "-" / "*" / "/" / "@" )`
fn key_is_valid(key: &[u8]) -> bool {
    let begins = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    key.len() <= PART
        && key.first().is_some_and(begins)
        && key.iter().all(|byte| begins(byte) || b"_-*/@".contains(byte))
}

/// `0*255( chr ) nblk-chr`: printable ASCII but comma and equals sign, the last not blank.
fn value_is_valid(value: &[u8]) -> bool {
    value.len() <= PART
        && value.last().is_some_and(|byte| *byte != b' ')
        && value.iter().all(|byte| matches!(byte, 0x20..=0x7e) && *byte != b',' && *byte != b'=')
}

/// Leaves out whole members until the list fits: long ones first, then from the right. Whether anything was left out.
fn shorten(members: &mut Vec<&str>) -> bool {
    let length =
        |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>() - 1;
    let before = members.len();
    while members.len() > 1 && length(members) > KEPT {
        let long = members.iter().rposition(|member| member.len() > LONG);
        members.remove(long.unwrap_or(members.len() - 1));
    }
    if length(members) > KEPT {
        // One member alone, up to 513 characters, is more than anybody must keep.
        members.clear();
    }
    members.len() < before
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> TraceState {
        TraceState::of(&values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    fn list(text: &str) -> TraceState {
        TraceState::List { text: text.into(), cut: false }
    }

    #[test]
    fn what_is_accepted() {
        let long_key = "a".repeat(256);
        let long_value = "b".repeat(255);
        for (values, expected) in [
            (vec!["foo=1"], "foo=1"),
            (vec!["foo=1,bar=2"], "foo=1,bar=2"),
            (vec!["foo=1 \t, \tbar=2"], "foo=1,bar=2"),
            (vec!["foo=1,,bar=2,"], "foo=1,bar=2"),
            (vec!["foo=1", "bar=2"], "foo=1,bar=2"),
            (vec!["foo=1", "", "rojo=00f067aa0ba902b7,baz=3"], "foo=1,rojo=00f067aa0ba902b7,baz=3"),
            (vec!["fw529a3039@dt=FfD3M2Zz~!"], "fw529a3039@dt=FfD3M2Zz~!"),
            (vec!["0a_-*/=x y"], "0a_-*/=x y"),
            (vec!["foo=1,foo=2"], "foo=1"),
            (vec!["ot=th:8;rv:0123456789abcd"], "ot=th:8;rv:0123456789abcd"),
        ] {
            assert_eq!(read(&values), list(expected), "{values:?}");
        }
        assert_eq!(
            read(&[&format!("{long_key}={long_value}")]),
            list(&format!("{long_key}={long_value}"))
        );
    }

    #[test]
    fn nothing_is_nothing() {
        for values in [vec![], vec![""], vec![" , ,\t"]] {
            assert_eq!(read(&values), TraceState::Empty);
        }
    }

    #[test]
    fn one_bad_member_spoils_all() {
        for bad in [
            "foo",
            "foo =1",
            "FOO=1",
            "foo.bar=1",
            "@foo=1",
            "-a=1",
            "foo=1=2",
            "=1",
            "foo=",
            "foo=bär",
            "foo=a\tb",
            "foo bar=1",
            "foo=\x7f",
        ] {
            assert_eq!(read(&[bad]), TraceState::Invalid, "{bad:?}");
            assert_eq!(read(&["good=1", bad]), TraceState::Invalid, "{bad:?}");
        }
        assert_eq!(read(&[&format!("{}=1", "a".repeat(257))]), TraceState::Invalid);
        assert_eq!(read(&[&format!("a={}", "1".repeat(257))]), TraceState::Invalid);
    }

    #[test]
    fn thirty_two_members_and_no_more() {
        let members = |n: usize| (0..n).map(|i| format!("k{i}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&[&members(32)]), list(&members(32)));
        assert_eq!(read(&[&members(33)]), TraceState::Invalid);
    }

    #[test]
    fn a_long_list_loses_whole_members_long_ones_first() {
        let long = format!("long={}", "x".repeat(200));
        let text: String =
            (0..30).map(|i| format!("k{i:02}=123456789012,")).collect::<String>() + &long;
        let TraceState::List { text, cut } = read(&[&text]) else { panic!() };
        assert!(cut);
        assert!(text.len() <= KEPT);
        assert!(!text.contains("long"));
        assert!(text.starts_with("k00=123456789012,k01="));
        assert!(text.ends_with("=123456789012"));
    }

    #[test]
    fn a_member_too_long_alone_is_left_out() {
        let text = format!("{}={}", "a".repeat(256), "b".repeat(256));
        assert_eq!(read(&[&text]), TraceState::List { text: String::new(), cut: true });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..4)) {
            if let TraceState::List { text, .. } = TraceState::of(&values) {
                prop_assert!(text.len() <= KEPT);
                prop_assert!(text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
            }
        }

        #[test]
        fn reading_what_was_read_changes_nothing(members in proptest::collection::vec("[a-z][a-z0-9_@]{0,20}=[!-+.-<>-~]{1,20}", 1..20)) {
            if let TraceState::List { text, .. } = read(&[&members.join(", ")]) {
                prop_assert_eq!(read(&[&text]), TraceState::List { text: text.clone(), cut: false });
            }
        }
    }
}
