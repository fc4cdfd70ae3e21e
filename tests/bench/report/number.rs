//! Numbers as people read them.

use crate::modes::{Measure, Sort};
use crate::statistics::{Comparison, Spread};

/// `1,234,567`
pub(super) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" { format!("−{text}") } else { text }
}

/// `470 ns`, `12.3 µs`, `1.20 ms`
pub(super) fn nanos(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.1} ns"),
        10.0..10_000.0 => format!("{} ns", grouped(value)),
        10_000.0..10_000_000.0 => format!("{:.1} µs", value / 1e3),
        _ => format!("{:.1} ms", value / 1e6),
    }
    .replace('-', "−")
}

/// With its sign.
pub(super) fn signed(value: f64) -> String {
    let text = nanos(value);
    if value > 0.0 { format!("+{text}") } else { text }
}

pub(super) fn value(measure: Measure, value: f64) -> String {
    if measure.sort == Sort::Rate { grouped(value) } else { nanos(value) }
}

/// The cells of a comparison: without, with, ratio, A/A, added with its quartiles, smallest that
/// would be found.
pub(super) fn cells(measure: Measure, compared: &Comparison) -> [String; 6] {
    let rate = measure.sort == Sort::Rate;
    let difference = |value: f64| {
        if rate { grouped(value) } else { signed(value) }
    };
    [
        value(measure, compared.without.median),
        value(measure, compared.with.median),
        spread(&compared.ratio),
        spread(&compared.same_ratio),
        format!(
            "{} ({} to {})",
            difference(compared.added.median),
            difference(compared.added.low),
            difference(compared.added.high)
        ),
        if rate { delay_found(compared) } else { format!("±{}", nanos(compared.least)) },
    ]
}

/// The smallest change of a rate that would be found, and the delay of each unit that would make it.
fn delay_found(compared: &Comparison) -> String {
    let (rate, least) = (compared.without.median, compared.least);
    let delay =
        if least < rate { nanos(1e9 / (rate - least) - 1e9 / rate) } else { "∞".to_owned() };
    format!("±{}, {delay} each", grouped(least))
}

/// `0.912 (0.901–0.923)`
fn spread(of: &Spread) -> String {
    format!("{:.3} ({:.3}–{:.3})", of.median, of.low, of.high)
}
