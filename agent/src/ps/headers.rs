//! Into whose requests a header would be put, and why not into others' that were named.

use std::fmt::Write as _;

use super::Row;
use crate::{
    insertion::{Verdict, verdict},
    selection::Pattern,
    service::Reader,
};

/// Lines below the table, one for each process that was named; how its sockets behave is seen only as they connect.
pub(super) fn text(rows: &[Row], programs: &[Pattern]) -> String {
    let mut text = String::new();
    if programs.is_empty() {
        return text;
    }
    let mut reader = Reader::default();
    for row in rows {
        let Some(facts) = reader.read(row.pid) else { continue };
        let says = match verdict(&facts, programs) {
            Verdict::NotNamed => continue,
            Verdict::Named => "into requests on sockets that do not block".to_owned(),
            Verdict::Harmed(why) => format!("not into requests: {why}"),
        };
        let _ = writeln!(text, "{:>7}  headers: {says}", row.pid);
    }
    text
}
