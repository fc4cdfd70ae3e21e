//! What came out, as people read it: lines for the terminal, and the README's table.
//!
//! The README's table lies between two marks, is written by `cargo xtask truth --renew` alone, and keeps the rows that were not
//! measured anew as long as they were measured on the same machine. All of another machine's give way at once, never some.

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

/// A text with nothing but a table without rows.
#[must_use]
pub fn empty() -> String {
    format!("{BEGIN}\n{END}\n")
}

/// The README, or another text with its marks, with these rows in its table. `machine` says on what they were measured.
///
/// # Errors
/// When there are no marks.
pub fn renew(text: &str, machine: &str, rows: &[Row]) -> anyhow::Result<String> {
    let (before, old, after) = around(text)?;
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
        let kept = || kept(old, case).filter(|_| same_machine).map(str::to_owned);
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

/// The README with a whole table in its place: one that was measured on another machine, row by row.
///
/// # Errors
/// When one of them has no marks.
pub fn publish(readme: &str, measured: &str) -> anyhow::Result<Published> {
    let (before, old, after) = around(readme)?;
    let (_, new, _) = around(measured)?;
    let lacks = |case: &&Case| kept(old, case).is_some() && kept(new, case).is_none();
    let lacking: Vec<&str> = ALL.iter().filter(lacks).map(|case| case.name).collect();
    Ok(if lacking.is_empty() {
        Published::Readme(format!("{before}{BEGIN}{new}{END}{after}"))
    } else {
        Published::Lacking(lacking)
    })
}

/// What became of a table that was measured.
#[derive(Debug, PartialEq, Eq)]
pub enum Published {
    /// The README with it.
    Readme(String),
    /// Cases of which only the README has a row: it stays as it is.
    Lacking(Vec<&'static str>),
}

/// What stands before the table, in it, and behind it.
fn around(text: &str) -> anyhow::Result<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN).context("the table's first mark is missing")?;
    let (table, after) = rest.split_once(END).context("the table's last mark is missing")?;
    Ok((before, table, after))
}

/// A case's row in a table.
fn kept<'a>(table: &'a str, case: &Case) -> Option<&'a str> {
    let begin = format!("| {} |", case.about);
    table.lines().find(|line| line.starts_with(&begin))
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
    fn rows_of_another_machine_stay_until_all_are_measured() {
        let readme = renew(&readme(), "one machine", &[row(0, 9997), row(1, 0)]).unwrap();
        let first = renew(&empty(), "another machine", &[row(1, 1)]).unwrap();
        assert_eq!(publish(&readme, &first).unwrap(), Published::Lacking(vec![ALL[0].name]));
        let both = renew(&first, "another machine", &[row(0, 5)]).unwrap();
        let Published::Readme(text) = publish(&readme, &both).unwrap() else { panic!("{both}") };
        assert_eq!(text, renew(&readme, "another machine", &[row(0, 5), row(1, 1)]).unwrap());
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
