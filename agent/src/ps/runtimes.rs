//! What would be known inside processes whose runtime tells: by which rules their calls find their parents, or why none does.

use std::fmt::Write as _;

use abi::runtime::Rule;

use super::Row;
use crate::runtime::{
    self, Rules,
    go::{Examiner, Found, Refusal, Source},
    python,
};

/// Of rules whose probes wait for a call, and are out while they would be met often.
const WHEN_NEEDED: &str = "when calls need it";

/// Lines below the table, one for each such process.
pub(super) fn text(rows: &[Row], rules: Rules) -> String {
    let mut examiner = Examiner::default();
    let mut pythons = python::Examiner::default();
    let mut text = String::new();
    for row in rows {
        let says = match examiner.examine(row.pid, rules) {
            Ok(found) => followed(&found, rules),
            Err(Refusal::NotGo) => match pools(&mut pythons, row.pid, rules) {
                Some(says) => says,
                None => continue,
            },
            Err(why) => format!("goroutines are not followed: {why}"),
        };
        let _ = writeln!(text, "{:>7}  {says}", row.pid);
    }
    text
}

/// What is said of a process that may run Python.
fn pools(examiner: &mut python::Examiner, pid: u32, rules: Rules) -> Option<String> {
    let name = Rule::PythonPool.name();
    if !rules.has(Rule::PythonPool) {
        return None;
    }
    Some(match examiner.examine(pid) {
        Ok(python::Found { version: Some(version), .. }) => {
            format!("Python {version}: {name} {WHEN_NEEDED}")
        }
        Ok(_) => format!("Python: {name} {WHEN_NEEDED}"),
        Err(python::Refusal::NotPython) => return None,
        Err(why) => format!("Python: not {name}, {why}"),
    })
}

fn followed(found: &Found, rules: Rules) -> String {
    let waits = runtime::waiting(&found.places);
    let is_on = |rule: &Rule| {
        rules.has(*rule)
            && !rule.is_of_threads()
            && !waits.contains(rule)
            && found.off.iter().all(|(off, _)| off != rule)
    };
    let names: Vec<&str> =
        Rule::ALL.iter().filter(|rule| is_on(rule)).map(|rule| rule.name()).collect();
    let known = match found.layouts.first() {
        Some((_, Source::Program)) => " (known by its debugging information)",
        _ => "",
    };
    let mut text = format!("Go {}{known}: {}", found.version, names.join(", "));
    for rule in waits {
        let when = match rule {
            Rule::GoNewproc => WHEN_NEEDED,
            _ => "from its first HTTP/2 in the clear on",
        };
        let _ = write!(text, "; {} {when}", rule.name());
    }
    for (rule, why) in &found.off {
        let _ = write!(text, "; not {}, {why}", rule.name());
    }
    text
}
