//! The table that `ps` prints.

use std::fmt::Write as _;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub pid: u32,
    pub service: String,
    pub runtime: &'static str,
    pub tls: &'static str,
    pub ports: String,
    pub traced: String,
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
    let ports = widest(|row| row.ports.chars().count(), 5);
    let mut text = String::new();
    let mut line = |pid: &str, cells: [&str; 5]| {
        let [a, b, c, d, e] = cells;
        let _ = writeln!(text, "{pid:>7}  {a:service$}  {b:runtime$}  {c:tls$}  {d:ports$}  {e}");
    };
    line("PID", ["SERVICE", "RUNTIME", "TLS", "PORTS", "TRACED"]);
    for row in rows {
        let cells = [&row.service, row.runtime, row.tls, &row.ports, &row.traced];
        line(&row.pid.to_string(), cells);
    }
    if rows.iter().any(|row| !["-", "?"].contains(&row.tls)) {
        text += TLS;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let row = |pid, service: &str, traced: &str| Row {
            pid,
            service: service.into(),
            runtime: "python",
            tls: "-",
            ports: "8080".into(),
            traced: traced.into(),
        };
        assert_eq!(
            text(&[row(7, "shop", "yes"), row(4711, "billing-api", "no: by the rule x")]),
            "    PID  SERVICE      RUNTIME  TLS  PORTS  TRACED\n\
             \u{20}     7  shop         python   -    8080   yes\n\
             \u{20}  4711  billing-api  python   -    8080   no: by the rule x\n"
        );
        let with_tls = Row { tls: "OpenSSL", ..row(7, "shop", "yes") };
        assert!(text(&[with_tls]).ends_with(TLS));
    }
}
