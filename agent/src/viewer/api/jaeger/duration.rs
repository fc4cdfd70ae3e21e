//! Durations as Jaeger's parameters have them: Go's, such as `1.5s`, `300ms` or `1m30s` (Go, `time.ParseDuration`).

/// Units with their length in ns; of two that begin alike the longer one comes first.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
];

/// ns; `None` for what is no duration, and for what is negative.
pub(super) fn parse(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, length) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        sum += number * length;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty() && sum < u64::MAX as f64).then_some(sum as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        for (text, ns) in [
            ("100ms", Some(100_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("2h", Some(7_200_000_000_000)),
            ("7us", Some(7_000)),
            ("7µs", Some(7_000)),
            ("12ns", Some(12)),
            ("0", Some(0)),
            ("", None),
            ("5", None),
            ("ms", None),
            ("1x", None),
            ("1..5s", None),
            ("-1s", None),
            ("1 s", None),
        ] {
            assert_eq!(parse(text), ns, "{text}");
        }
    }
}
