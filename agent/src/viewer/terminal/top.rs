//! `spanwire top`: rate, errors and durations of every service, again and again.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::{answer, say};
use crate::cli::TopArgs;
use crate::export::terminal::text::{cut, duration, safe, width};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// Columns of a name.
const NAME: usize = 32;
/// From this share on errors are marked.
const FAILING: f64 = 0.01;

/// Shows the table until stopped; once where output is no terminal.
///
/// # Errors
/// No agent runs, or it may not be asked.
pub fn top(args: &TopArgs) -> Result<()> {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("t", &args.range)
        .append_pair("q", &args.query)
        .finish();
    let again = std::io::stdout().is_terminal() && !args.once;
    loop {
        let text = table(&answer(&format!("/view/red?{query}"))?, again);
        if !again {
            return say(&text);
        }
        // Home, clear: the last table stays on the screen when it ends.
        say(&format!("\x1b[H\x1b[2J{text}"))?;
        std::thread::sleep(EVERY);
    }
}

/// The table of an answer.
fn table(red: &Value, color: bool) -> String {
    let mut out = format!(
        "{:NAME$} {:>9} {:>7} {:>9} {:>9} {:>9} {:>9}\n",
        "service", "req/s", "errors", "p50", "p95", "p99", "in flight"
    );
    let rows = red["rows"].as_array().map_or(&[][..], Vec::as_slice);
    for row in rows {
        let mark = if row["outside"] == true { "→ " } else { "" };
        let name = cut(&format!("{mark}{}", safe(row["name"].as_str().unwrap_or_default())), NAME);
        let number = |key: &str| row[key].as_f64().unwrap_or(0.0);
        let time = |key: &str| row[key].as_u64().map_or_else(|| "–".to_owned(), duration);
        let errors = number("errors");
        let share = format!("{:>6.1}%", errors * 100.0);
        let share =
            if color && errors >= FAILING { format!("\x1b[31m{share}\x1b[0m") } else { share };
        let rate =
            format!("{}{:.1}", if row["estimated"] == true { "~" } else { "" }, number("rate"));
        let blank = " ".repeat(NAME - width(&name));
        let _ = writeln!(
            out,
            "{name}{blank} {rate:>9} {share} {:>9} {:>9} {:>9} {:>9.1}",
            time("p50"),
            time("p95"),
            time("p99"),
            number("in_flight"),
        );
    }
    if rows.is_empty() {
        out.push_str("no request yet\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_for_people() {
        let red = json!({ "rows": [
            { "name": "shop\u{1b}[2J", "outside": false, "rate": 31.04, "errors": 0.048, "p50": 62_000_000,
              "p95": 1_040_000_000, "p99": null, "in_flight": 3.1 },
            { "name": "postgres", "outside": true, "rate": 203.0, "estimated": true, "errors": 0.0, "p50": 1_900_000,
              "p95": 14_000_000, "p99": 38_000_000, "in_flight": 0.6 },
        ]});
        assert_eq!(
            table(&red, false),
            "service                              req/s  errors       p50       p95       p99 in flight\n\
             shop\u{fffd}[2J                              31.0    4.8%   62.0 ms    1.04 s         –       3.1\n\
             → postgres                          ~203.0    0.0%   1.90 ms   14.0 ms   38.0 ms       0.6\n"
        );
        assert!(table(&red, true).contains("\u{1b}[31m   4.8%\u{1b}[0m"));
        assert!(table(&json!({}), false).ends_with("no request yet\n"));
    }
}
