//! What a path segment looks like, by itself: a word, certainly none, or something in between.
//!
//! Errs to one side: what may stand for a single thing is never called a word.

/// A segment's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may be a part of the program, or a name that somebody gave.
    Word,
    /// It stands for one thing: a number, a UUID, a hash, a token.
    Id,
    /// Neither: a file, a slug, a word with a digit.
    Odd,
}

/// Longest word. Longer ones are titles or tokens.
const WORD_MAX: usize = 32;
/// Words in a segment, by dashes, underscores or capitals; more make a title.
const WORDS_MAX: usize = 4;
/// So many digits are a number, whatever stands beside them. `oauth2` and `s3` have one.
const DIGITS: usize = 3;
/// From this length on letters and digits that make no words are a token.
const TOKEN: usize = 8;
/// Letters without a vowel from here on, or consonants in a row, are no word of any language that URLs are written in.
const CONSONANTS: usize = 6;
/// Longest segment that may be neither.
const ODD_MAX: usize = 64;

impl Kind {
    /// Of a segment, which is not empty.
    pub(super) fn of(segment: &str) -> Self {
        let bytes = segment.as_bytes();
        let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
        let hex = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'-';
        let plain = bytes.iter().all(u8::is_ascii_alphanumeric);
        if digits == bytes.len()
            || digits >= DIGITS
            || bytes.len() > ODD_MAX
            || (digits > 0 && bytes.len() >= TOKEN && bytes.iter().all(hex))
            || (digits > 0 && bytes.len() >= TOKEN && plain && has_odd_case(segment))
        {
            return Self::Id;
        }
        if !bytes.iter().all(u8::is_ascii_alphabetic) {
            let separated =
                bytes.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_'));
            if !separated {
                return Self::Odd;
            }
        }
        Self::of_letters(segment)
    }

    /// Of letters, dashes and underscores.
    fn of_letters(segment: &str) -> Self {
        if segment.len() > WORD_MAX {
            return Self::Odd;
        }
        let mut words = 0;
        for part in segment.split(['-', '_']) {
            match words_in(part) {
                Some(more) => words += more,
                None if is_gibberish(part) || has_odd_case(part) => return Self::Id,
                None => return Self::Odd,
            }
        }
        if words <= WORDS_MAX { Self::Word } else { Self::Odd }
    }
}

/// How many words a part is made of: `list`, `List`, `listOrders`, `API`. `None` if it is not made of words.
fn words_in(part: &str) -> Option<usize> {
    let bytes = part.as_bytes();
    if bytes.is_empty() || is_gibberish(part) {
        return None;
    }
    let capitals = bytes.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    if capitals == bytes.len() {
        return (capitals <= 4).then_some(1);
    }
    if has_odd_case(part) {
        return None;
    }
    let begins_small = usize::from(bytes[0].is_ascii_lowercase());
    Some(capitals + begins_small)
}

/// Capitals that begin no word of at least two letters, as in tokens.
fn has_odd_case(part: &str) -> bool {
    let bytes = part.as_bytes();
    if bytes.iter().all(u8::is_ascii_uppercase) {
        return bytes.len() > 4;
    }
    let small = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_lowercase);
    bytes.iter().enumerate().any(|(i, byte)| {
        byte.is_ascii_uppercase() && !(small(bytes.get(i + 1)) && small(bytes.get(i + 2)))
    })
}

/// Letters that nobody could say.
fn is_gibberish(part: &str) -> bool {
    let mut row = 0;
    let mut longest = 0;
    for byte in part.bytes() {
        let vowel = matches!(byte.to_ascii_lowercase(), b'a' | b'e' | b'i' | b'o' | b'u' | b'y');
        row = if vowel { 0 } else { row + 1 };
        longest = longest.max(row);
    }
    longest >= CONSONANTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_ids_and_what_is_neither() {
        for word in ["orders", "Orders", "listOrders", "forgot-password", "API", "my_cart", "x"] {
            assert_eq!(Kind::of(word), Kind::Word, "{word}");
        }
        for id in [
            "7",
            "00",
            "1234567",
            "550e8400-e29b-41d4-a716-446655440000",
            "deadbeef1",
            "deadbee-1",
            "order-1234",
            "user123",
            "2024-01-31",
            "aZbQxWpL",
            "xkcdqwrt",
            "QWERTYUIOP",
            "dGhpcyBpcyBhIHRva2Vu0",
            &"a".repeat(65),
        ] {
            assert_eq!(Kind::of(id), Kind::Id, "{id}");
        }
        for odd in [
            "user1",
            "oauth2",
            "2fa",
            "report.pdf",
            "a@b.org",
            "caf%C3%A9",
            "caf\u{e9}",
            "how-to-make-good-tea",
            "a--b",
            "-",
            "~me",
            "a,b",
            &"ab".repeat(17),
        ] {
            assert_eq!(Kind::of(odd), Kind::Odd, "{odd}");
        }
    }
}
