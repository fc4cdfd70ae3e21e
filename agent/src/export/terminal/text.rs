//! Text of strangers made safe for a terminal, and measured.
//!
//! Attributes come from the network. A terminal obeys control characters, and shows text that bidirectional or
//! invisible characters have rearranged; none of them may pass.

/// What an unsafe character is shown as.
const INSTEAD: char = '\u{fffd}';

/// `text` with every character replaced that is not plainly visible.
pub(crate) fn safe(text: &str) -> String {
    text.chars().map(|c| if is_safe(c) { c } else { INSTEAD }).collect()
}

/// Not a control (C0, DEL, C1), and not one of Unicode's format characters, separators or tags.
fn is_safe(c: char) -> bool {
    !c.is_control()
        && !matches!(u32::from(c),
            0x00ad            // soft hyphen
            | 0x034f          // combining grapheme joiner
            | 0x061c          // Arabic letter mark
            | 0x115f | 0x1160 | 0x3164 | 0xffa0 // Hangul fillers
            | 0x17b4 | 0x17b5 // Khmer invisible vowels
            | 0x180b..=0x180f // Mongolian selectors
            | 0x200b..=0x200f // zero width, left-to-right and right-to-left marks
            | 0x2028..=0x202e // separators, embeddings and overrides
            | 0x2060..=0x206f // invisible operators and isolates
            | 0xfe00..=0xfe0f // variation selectors
            | 0xfeff          // zero width no-break space
            | 0xfff0..=0xfffb // specials
            | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff // tags
            | 0xe000..=0xf8ff | 0xf0000.. // private use: may look like anything
        )
}

/// Columns that `text` takes: wide East Asian characters and pictures take two, combining marks none.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x20d0..=0x20f0 => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// As much of `text` as fits in so many columns, with `…` where it was cut.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += columns(c);
        if used + 1 > most {
            break;
        }
        out.push(c);
    }
    if most > 0 {
        out.push('…');
    }
    out
}

/// A duration in at most nine columns.
pub(crate) fn duration(nanos: u64) -> String {
    let micros = nanos / 1_000;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10),
        10_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        1_000_000..60_000_000 => {
            format!("{}.{:02} s", micros / 1_000_000, micros % 1_000_000 / 10_000)
        }
        _ => format!("{}m {:02}s", micros / 60_000_000, micros / 1_000_000 % 60),
    }
}

/// Time of day, UTC, with milliseconds.
pub(super) fn clock(unix_nanos: u64) -> String {
    let millis = unix_nanos / 1_000_000;
    let seconds = millis / 1_000;
    let (hours, minutes) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}Z", seconds % 60, millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_is_replaced() {
        assert_eq!(
            safe("/a\x1b[31mb\r\n\u{9b}2J\u{7f}"),
            "/a\u{fffd}[31mb\u{fffd}\u{fffd}\u{fffd}2J\u{fffd}"
        );
        assert_eq!(
            safe("a\u{202e}b\u{2066}c\u{200f}d\u{feff}e\u{e0041}f"),
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f"
        );
        assert_eq!(safe("/straße/日本/é"), "/straße/日本/é");
    }

    #[test]
    fn durations_are_short() {
        for (nanos, text) in [
            (0, "0 µs"),
            (999_999, "999 µs"),
            (1_000_000, "1.00 ms"),
            (12_345_678, "12.3 ms"),
            (999_999_999, "999.9 ms"),
            (1_234_567_890, "1.23 s"),
            (59_999_999_999, "59.99 s"),
            (125_000_000_000, "2m 05s"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }

    #[test]
    fn clocks_are_utc() {
        assert_eq!(clock(1_700_000_000_123_456_789), "22:13:20.123Z");
    }

    proptest! {
        #[test]
        fn cutting_fits(text in "\\PC{0,30}", most in 0..20_usize) {
            prop_assert!(width(&cut(&text, most)) <= most);
        }

        #[test]
        fn nothing_unsafe_passes(text in any::<String>()) {
            let safe = safe(&text);
            prop_assert!(safe.chars().all(is_safe_or_instead));
            prop_assert_eq!(safe.chars().count(), text.chars().count());
        }
    }

    fn is_safe_or_instead(c: char) -> bool {
        is_safe(c) || c == INSTEAD
    }
}
