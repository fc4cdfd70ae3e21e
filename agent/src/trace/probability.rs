//! Probability sampling as `tracestate` carries it: the member `ot` with `th` (the threshold that kept the trace) and
//! `rv` (its randomness, where the trace id is not random). OpenTelemetry specification, "TraceState: Probability
//! Sampling".
//!
//! Other keys in the member, and other members, stay as they are.

/// Hex digits of the 56 random bits.
const DIGITS: usize = 14;
/// Most members of a list (W3C Trace Context Level 2, §3.3.1.1).
const MEMBERS: usize = 32;
/// The member of OpenTelemetry.
const OT: &str = "ot=";

/// The random bits of a trace id: its low 56.
pub(in crate::trace) fn of_trace(trace: [u8; 16]) -> u64 {
    let [.., a, b, c, d, e, f, g] = trace;
    u64::from_be_bytes([0, a, b, c, d, e, f, g])
}

/// The randomness that the trace carries along, if it does.
pub(in crate::trace) fn explicit(state: &str) -> Option<u64> {
    let value = keys(member(state)?).find_map(|key| key.strip_prefix("rv:"))?;
    let is_valid = value.len() == DIGITS
        && value.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    is_valid.then(|| u64::from_str_radix(value, 16).ok())?
}

/// The list with this threshold: `ot` comes to the left, as every member that was changed (§3.3.1.4).
pub(in crate::trace) fn with_threshold(state: &str, threshold: u64) -> String {
    let digits = format!("{threshold:0DIGITS$x}");
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    let kept = member(state).into_iter().flat_map(keys).filter(|key| !key.starts_with("th:"));
    let ours = kept.fold(format!("{OT}th:{digits}"), |ours, key| ours + ";" + key);
    let others = state.split(',').filter(|member| !member.is_empty() && !member.starts_with(OT));
    others.take(MEMBERS - 1).fold(ours, |list, member| list + "," + member)
}

/// How many traces one with that list stands for: 1 where nothing was left out, or nobody says.
pub(crate) fn stands_for(state: &str) -> f64 {
    let digits =
        member(state).and_then(|member| keys(member).find_map(|key| key.strip_prefix("th:")));
    let is_valid = |digits: &&str| {
        (1..=DIGITS).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let threshold = digits
        .filter(is_valid)
        .and_then(|digits| u64::from_str_radix(&format!("{digits:0<DIGITS$}"), 16).ok());
    let all = 1_u64 << (4 * DIGITS);
    // A threshold has at most as many bits as randomness: at least one value is kept.
    all as f64 / (all - threshold.unwrap_or(0)) as f64
}

fn member(state: &str) -> Option<&str> {
    state.split(',').find_map(|member| member.strip_prefix(OT))
}

fn keys(member: &str) -> impl Iterator<Item = &str> {
    member.split(';').filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_says_how_many_were_left_out() {
        for (state, times) in [
            ("", 1.0),
            ("a=1", 1.0),
            ("ot=th:0", 1.0),
            ("ot=th:8", 2.0),
            ("a=1,ot=rv:1;th:c", 4.0),
            ("ot=th:x", 1.0),
            ("ot=th:123456789012345", 1.0),
            ("ot=th:ffffffffffffff", (1_u64 << 56) as f64),
        ] {
            assert!((stands_for(state) - times).abs() < 1e-9, "{state}");
        }
    }

    #[test]
    fn thresholds_are_written_without_their_zeros() {
        assert_eq!(with_threshold("", 0), "ot=th:0");
        assert_eq!(with_threshold("", 1 << 55), "ot=th:8");
        assert_eq!(with_threshold("", 0xc0_0000_0000_0001), "ot=th:c0000000000001");
        assert_eq!(with_threshold("", 1), "ot=th:00000000000001");
        assert_eq!(with_threshold("a=1,b=2", 1 << 55), "ot=th:8,a=1,b=2");
        assert_eq!(with_threshold("a=1,ot=th:4;rv:1;z:9,b=2", 0), "ot=th:0;rv:1;z:9,a=1,b=2");
    }

    #[test]
    fn the_list_never_outgrows_its_members() {
        let full = (0..MEMBERS).map(|n| format!("k{n}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(with_threshold(&full, 0).split(',').count(), MEMBERS);
    }

    #[test]
    fn randomness_is_fourteen_digits_or_none() {
        assert_eq!(explicit("ot=rv:0123456789abcd"), Some(0x01_2345_6789_abcd));
        assert_eq!(explicit("a=1,ot=th:8;rv:ffffffffffffff"), Some((1 << 56) - 1));
        for state in
            ["", "a=rv:0123456789abcd", "ot=rv:1", "ot=rv:0123456789ABCD", "ot=rv:+123456789abcd"]
        {
            assert_eq!(explicit(state), None, "{state}");
        }
    }

    #[test]
    fn a_trace_ids_randomness_is_its_low_seven_bytes() {
        let trace = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes();
        assert_eq!(of_trace(trace), 0x99_aabb_ccdd_eeff);
    }
}
