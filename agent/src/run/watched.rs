//! Who talks on this host, and whether it is traced: what the page shows beside the traces, and before the first one.
//!
//! Looked at by a thread of its own, when tracing begins and rarely after: a look reads all of /proc. Only programs' names
//! are told, never their arguments: those may hold secrets. The loop that traces must never wait for it.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::ps::{self, Row, Traced};
use crate::selection::Selection;
use crate::viewer::Watched;

/// Most rows that are told: a page has room for a few dozen.
const MOST: usize = 200;
/// Time between looks: the first ones find what starts together with the agent.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(300)];

/// The thread that looks.
pub(super) struct Watch {
    rules: Sender<Selection>,
    found: Receiver<Vec<Watched>>,
}

impl Watch {
    /// Looks for the first time, and starts the thread that goes on.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn start(mut selection: Selection) -> io::Result<(Self, Vec<Watched>)> {
        let (rules, new_rules) = channel();
        let (to, found) = channel();
        let first = look(&selection);
        thread::Builder::new().name("spanwire-watch".to_owned()).spawn(move || {
            let mut looks = 0;
            loop {
                let pause = PAUSES[looks.min(PAUSES.len() - 1)];
                match new_rules.recv_timeout(pause) {
                    Ok(new) => selection = new,
                    Err(RecvTimeoutError::Timeout) => looks += 1,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if to.send(look(&selection)).is_err() {
                    return;
                }
            }
        })?;
        Ok((Self { rules, found }, first))
    }

    /// Other rules hold from now on.
    pub(super) fn select(&self, selection: Selection) {
        let _ = self.rules.send(selection);
    }

    /// What the newest look found, if there was one since.
    pub(super) fn news(&self) -> Option<Vec<Watched>> {
        self.found.try_iter().last()
    }
}

/// What cannot be read is left out.
fn look(selection: &Selection) -> Vec<Watched> {
    match ps::look(selection) {
        Ok(look) => gathered(&look.rows),
        Err(error) => {
            log::debug!("the processes of this host cannot be looked at: {error}");
            Vec::new()
        }
    }
}

/// A row for the processes of a service that are the same in all that is told.
fn gathered(rows: &[Row]) -> Vec<Watched> {
    let mut found: BTreeMap<(&str, &str, bool, String), Watched> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.traced != Traced::Ourselves) {
        let key = (&*row.service, &*row.program, row.traced.is_traced(), note(row));
        let of =
            found.entry(key).or_insert_with_key(|(service, program, is_traced, note)| Watched {
                service: (*service).to_owned(),
                program: (*program).to_owned(),
                runtime: row.runtime.to_owned(),
                is_traced: *is_traced,
                note: note.clone(),
                ..Watched::default()
            });
        of.processes += 1;
        of.ports.extend(&row.ports.listening);
        of.ports.sort_unstable();
        of.ports.dedup();
    }
    let mut found: Vec<Watched> = found.into_values().collect();
    // Who is not traced must be seen, then who can be asked.
    found.sort_by_key(|of| (of.is_traced, of.ports.is_empty()));
    found.truncate(MOST);
    found.sort_by_key(|of| (!of.is_traced, of.ports.is_empty()));
    found
}

/// What is to be said of it, if anything.
fn note(row: &Row) -> String {
    match &row.traced {
        Traced::BySdk => "its own OpenTelemetry SDK traces it".to_owned(),
        Traced::LeftOut(rule) => format!("left out by the rule {rule}"),
        Traced::Share => "a share is traced, by a rule".to_owned(),
        Traced::ByPort => "rules decide by the port".to_owned(),
        _ if row.has_tls() => format!("only plain traffic is seen ({} is not read yet)", row.tls),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ps::Ports;

    fn row(pid: u32, service: &str, port: u16, tls: &'static str, traced: Traced) -> Row {
        Row {
            pid,
            service: service.to_owned(),
            program: "nginx".to_owned(),
            runtime: "-",
            tls,
            ports: Ports { listening: [port].into(), ..Ports::default() },
            traced,
        }
    }

    #[test]
    fn workers_are_one_row_and_what_is_left_out_says_why() {
        let rows = [
            row(1, "edge", 80, "-", Traced::Yes),
            row(2, "edge", 443, "-", Traced::Yes),
            row(3, "edge", 443, "OpenSSL", Traced::Yes),
            row(4, "ssh", 22, "-", Traced::LeftOut("noise".to_owned())),
            row(5, "spanwire", 7726, "-", Traced::Ourselves),
        ];
        let found = gathered(&rows);
        let told: Vec<_> =
            found.iter().map(|of| (&*of.service, of.processes, &*of.ports, of.is_traced)).collect();
        assert_eq!(
            told,
            [
                ("edge", 2, &[80, 443][..], true),
                ("edge", 1, &[443], true),
                ("ssh", 1, &[22], false)
            ]
        );
        assert_eq!(found[1].note, "only plain traffic is seen (OpenSSL is not read yet)");
        assert_eq!(found[2].note, "left out by the rule noise");
    }

    #[test]
    fn new_rules_are_looked_through_at_once() {
        let (watch, _) = Watch::start(Selection::default()).unwrap();
        assert_eq!(watch.news(), None);
        watch.select(Selection::default());
        watch.found.recv().expect("it looks again");
    }
}
