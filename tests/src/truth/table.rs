//! What came out, as people read it: lines for the terminal, and the README's table.
//!
//! The README's table lies between two marks, is written by `cargo xtask truth --renew` alone, and keeps the rows that were not
//! measured anew as long as they were measured on the same machine.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};

use super::cases::{ALL, Case};
use super::score::{Score, Scores};

/// Where the README's table begins and ends.
const BEGIN: &str = "<!-- truth: written by `cargo xtask truth --renew`; do not edit -->";
const END: &str = "<!-- /truth -->";

/// Numbers of clients at once, each scored on its own.
pub const CLIENTS: [usize; 4] = [1, 8, 32, 128];

/// The scores of one case with each number of clients.
pub struct Row {
    /// The case.
    pub case: &'static Case,
    /// Scores by number of clients.
    pub scores: Vec<(usize, Scores)>,
}

/// One line about one run, for the terminal.
#[must_use]
pub fn line(case: &Case, clients: usize, scores: &Scores) -> String {
    let sort = |name: &str, score: &Score| {
        let Score { exact, absent, wrong, missing } = score;
        format!("{name} {exact} exact, {absent} absent, {wrong} wrong, {missing} missing")
    };
    format!(
        "{:<16} {clients:>3} clients: {}; {}; {}; {}; {} invented; {} of {} traces whole",
        case.name,
        sort("inside", &scores.inside),
        sort("between", &scores.between),
        sort("roots", &scores.roots),
        sort("decoys", &scores.decoys),
        scores.invented,
        scores.whole,
        scores.requests
    )
}

/// The README with these rows in its table. `machine` says on what they were measured.
///
/// # Errors
/// When the README has no marks.
pub fn renew(readme: &str, machine: &str, rows: &[Row]) -> anyhow::Result<String> {
    let (before, rest) =
        readme.split_once(BEGIN).context("the README lacks the table's first mark")?;
    let (old, after) = rest.split_once(END).context("the README lacks the table's last mark")?;
    ensure!(!machine.contains('\n'), "a machine of two lines");
    let same_machine = old.lines().any(|line| line == machine);
    let mut text = format!("{before}{BEGIN}\n{machine}\n\n| services |");
    for clients in CLIENTS {
        let _ = write!(text, " {clients} |");
    }
    text.push_str(" joined | wrong | missing |\n|---|");
    text.push_str(&"--:|".repeat(CLIENTS.len() + 3));
    text.push('\n');
    for case in ALL {
        let kept = || {
            let begin = format!("| {} |", case.about);
            old.lines().find(|line| same_machine && line.starts_with(&begin)).map(str::to_owned)
        };
        let new = rows.iter().find(|row| row.case.name == case.name).map(Row::markdown);
        if let Some(row) = new.or_else(kept) {
            text.push_str(&row);
            text.push('\n');
        }
    }
    text.push_str(END);
    text.push_str(after);
    Ok(text)
}

impl Row {
    fn markdown(&self) -> String {
        let mut all = Scores::default();
        let mut text = format!("| {} |", self.case.about);
        for clients in CLIENTS {
            let scores = self.scores.iter().find(|(number, _)| *number == clients);
            let cell = scores.map_or("–".to_owned(), |(_, scores)| percent(&scores.inside));
            let _ = write!(text, " {cell} |");
        }
        for (_, scores) in &self.scores {
            all += scores;
        }
        let _ = write!(
            text,
            " {} | {} of {} | {} |",
            percent(&all.between),
            all.wrong(),
            thousands(all.sent() + all.decoys.sent() + all.invented),
            all.missing()
        );
        text
    }
}

/// A share that is only 100 when it is: anything less is rounded down.
fn percent(score: &Score) -> String {
    let hundredths = (score.percent_exact() * 100.0).floor() / 100.0;
    if score.exact == score.sent() {
        "100 %".to_owned()
    } else if score.exact == 0 {
        "0 %".to_owned()
    } else {
        format!("{hundredths:.2} %")
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readme() -> String {
        format!("# x\n{BEGIN}\nold\n{END}\ny\n")
    }

    fn row(case: usize, exact: u64) -> Row {
        let inside = Score { exact, absent: 3, ..Score::default() };
        let scores = Scores { inside, ..Scores::default() };
        Row { case: &ALL[case], scores: vec![(1, scores.clone()), (8, scores)] }
    }

    #[test]
    fn rows_are_renewed_and_kept_on_one_machine_only() {
        let first = renew(&readme(), "one machine", &[row(0, 9997), row(1, 0)]).unwrap();
        assert!(first.starts_with("# x\n<!--") && first.ends_with("-->\ny\n"), "{first}");
        let cells = "| 99.97 % | 99.97 % | – | – | 100 % | 0 of 20,000 | 0 |";
        assert!(first.contains(&format!("| {} {cells}", ALL[0].about)), "{first}");
        assert!(first.contains(&format!("| {} | 0 % | 0 % |", ALL[1].about)), "{first}");
        let second = renew(&first, "one machine", &[row(1, 1)]).unwrap();
        assert!(second.contains(cells) && second.contains("| 25.00 % |"), "{second}");
        assert!(!second.contains("| 0 % |"), "{second}");
        let third = renew(&second, "another machine", &[row(1, 1)]).unwrap();
        assert!(!third.contains(cells) && !third.contains("one machine"), "{third}");
        assert_eq!(renew(&third, "another machine", &[]).unwrap(), third);
        assert!(renew("no marks", "one machine", &[]).is_err());
    }

    #[test]
    fn a_share_is_never_rounded_up() {
        let score = |exact, absent| Score { exact, absent, ..Score::default() };
        assert_eq!(percent(&score(99_999, 1)), "99.99 %");
        assert_eq!(percent(&score(5, 0)), "100 %");
        assert_eq!(percent(&score(0, 5)), "0 %");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(12), "12");
    }
}
