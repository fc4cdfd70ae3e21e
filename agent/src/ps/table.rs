//! The table that `ps` prints.

use std::fmt::Write as _;

use super::{Ports, Traced};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) pid: u32,
    pub(crate) service: String,
    /// Its executable's name.
    pub(crate) program: String,
    pub(crate) runtime: &'static str,
    /// The TLS library; `-` for none, `?` where that cannot be known.
    pub(crate) tls: &'static str,
    pub(crate) ports: Ports,
    pub(crate) traced: Traced,
}

impl Row {
    /// It has a TLS library, as far as can be seen.
    pub(crate) fn has_tls(&self) -> bool {
        !["-", "?"].contains(&self.tls)
    }
}

/// Said below the table where it concerns somebody.
const TLS: &str = "What goes through a TLS library is not read yet: it has no spans.\n";

/// Columns wide enough for what is in them.
pub(super) fn text(rows: &[Row]) -> String {
    let widest =
        |of: fn(&Row) -> usize, least: usize| rows.iter().map(of).max().unwrap_or(0).max(least);
    let service = widest(|row| row.service.chars().count(), 7);
    let runtime = widest(|row| row.runtime.len(), 7);
    let tls = widest(|row| row.tls.len(), 3);
    let ports = widest(|row| row.ports.to_string().chars().count(), 5);
    let mut text = String::new();
    let mut line = |pid: &str, cells: [&str; 5]| {
        let [a, b, c, d, e] = cells;
        let _ = writeln!(text, "{pid:>7}  {a:service$}  {b:runtime$}  {c:tls$}  {d:ports$}  {e}");
    };
    line("PID", ["SERVICE", "RUNTIME", "TLS", "PORTS", "TRACED"]);
    for row in rows {
        let (ports, traced) = (row.ports.to_string(), row.traced.to_string());
        let cells = [&row.service, row.runtime, row.tls, &ports, &traced];
        line(&row.pid.to_string(), cells);
    }
    if rows.iter().any(Row::has_tls) {
        text += TLS;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let row = |pid, service: &str, traced| Row {
            pid,
            service: service.into(),
            program: "python3".into(),
            runtime: "python",
            tls: "-",
            ports: Ports { listening: [8080].into(), ..Ports::default() },
            traced,
        };
        let by_rule = Traced::LeftOut("x".into());
        assert_eq!(
            text(&[row(7, "shop", Traced::Yes), row(4711, "billing-api", by_rule)]),
            "    PID  SERVICE      RUNTIME  TLS  PORTS  TRACED\n\
             \u{20}     7  shop         python   -    8080   yes\n\
             \u{20}  4711  billing-api  python   -    8080   no: by the rule x\n"
        );
        let with_tls = Row { tls: "OpenSSL", ..row(7, "shop", Traced::Yes) };
        assert!(text(&[with_tls]).ends_with(TLS));
    }
}
