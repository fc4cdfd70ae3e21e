//! A script or a style without what only its readers need: indentation, remarks, spaces beside punctuation.
//!
//! Line by line, and the lines stay, so that an error's place in a browser is its place in the source. Nothing is named
//! anew, put in another order or computed: without its spaces what is served is what is written. Texts, templates and
//! patterns stay as they are; none of them may go over two lines.

/// A language, by what may stand where a space was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Script,
    Style,
    /// Spaces mean something anywhere.
    Markup,
}

/// The source, bare.
pub(crate) fn bare(source: &str, language: Language) -> String {
    let mut out = String::with_capacity(source.len());
    let mut in_remark = false;
    for line in source.lines().map(str::trim) {
        let begins = line.starts_with("/*");
        if begins || in_remark {
            in_remark = !line.ends_with("*/");
        } else if language == Language::Markup {
            out.push_str(line);
        } else {
            Line { left: line, last: None, language }.write(&mut out);
        }
        out.push('\n');
    }
    out
}

/// What is left of a line.
struct Line<'a> {
    left: &'a str,
    /// The last character that was written of it.
    last: Option<char>,
    language: Language,
}

impl Line<'_> {
    fn write(mut self, out: &mut String) {
        let begin = out.len();
        while let Some(next) = self.left.chars().next() {
            let length = match next {
                ' ' => {
                    self.left = self.left.trim_start();
                    if self.needs_space() {
                        out.push(' ');
                    }
                    continue;
                }
                '\'' | '"' => text(self.left, next),
                '`' if self.language == Language::Script => template(self.left),
                '/' if self.language == Language::Script && self.left.starts_with("//") => return,
                '/' if self.language == Language::Script && begins_pattern(&out[begin..]) => {
                    pattern(self.left)
                }
                _ => next.len_utf8(),
            };
            let (token, left) = self.left.split_at(length);
            out.push_str(token);
            self.last = token.chars().next_back();
            self.left = left;
        }
    }

    /// Whether the space between what was written and what is left does anything.
    fn needs_space(&self) -> bool {
        let (Some(last), Some(next)) = (self.last, self.left.chars().next()) else { return false };
        match self.language {
            Language::Script => {
                let is_sign = matches!(next, '+' | '-') && last == next;
                is_word(last) && is_word(next) || is_sign
            }
            // A space before a colon or a parenthesis means something there, and beside signs.
            Language::Style => !("{};,>".contains(last) || "{};,>".contains(next) || last == ':'),
            Language::Markup => true,
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Length of a text in quotes, those included.
fn text(from: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in from.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    from.len()
}

/// Length of a template, what is computed in it included.
fn template(from: &str) -> usize {
    let mut at = 1;
    while let Some(next) = from[at..].chars().next() {
        at += match next {
            '`' => return at + 1,
            '\\' => 1 + from[at + 1..].chars().next().map_or(0, char::len_utf8),
            '$' if from[at..].starts_with("${") => computed(&from[at..]),
            _ => next.len_utf8(),
        };
    }
    from.len()
}

/// Length of `${…}`.
fn computed(from: &str) -> usize {
    let (mut at, mut depth) = (1, 0_usize);
    while let Some(next) = from[at..].chars().next() {
        at += match next {
            '\'' | '"' => text(&from[at..], next),
            '`' => template(&from[at..]),
            _ => next.len_utf8(),
        };
        match next {
            '{' => depth += 1,
            '}' if depth == 1 => return at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    from.len()
}

/// Length of a regular expression.
fn pattern(from: &str) -> usize {
    let (mut escaped, mut in_class) = (false, false);
    for (at, c) in from.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => return at + 1,
            _ => {}
        }
    }
    from.len()
}

/// A slash behind this cannot divide: no value ends here.
fn begins_pattern(before: &str) -> bool {
    let ends_value = before.ends_with(|c| is_word(c) || ")]}'\"`".contains(c));
    !ends_value || before.ends_with("return")
}
