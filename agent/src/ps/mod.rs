//! `spanwire ps`: the processes that talk to others, what each is called, and whether it would be traced, or why not.
//!
//! Looks at the host once, without any probe: what the agent says of a process must not surprise anybody later. What
//! cannot be read (other people's processes, without root) is told, not guessed.
#![forbid(unsafe_code)]

mod headers;
mod runtimes;
mod sockets;
mod table;
mod tls;
mod traced;

use std::io::{self, Write};

use anyhow::{Context, Result};

pub(crate) use self::sockets::Ports;
use self::sockets::Sockets;
pub(crate) use self::table::Row;
pub(crate) use self::traced::Traced;
use crate::config::Settings;
use crate::selection::Selection;
use crate::service::{self, ProcessFacts, Reader, Services};

/// Prints the table.
///
/// # Errors
///
/// When /proc cannot be read.
pub fn ps(settings: &Settings) -> Result<()> {
    let Look { rows, unread } = look(&settings.selection).context("/proc cannot be read")?;
    let mut text = table::text(&rows);
    text += &runtimes::text(&rows, settings.rules);
    text += &headers::text(&rows, &settings.headers);
    if unread > 0 {
        text += &format!("{unread} processes cannot be looked into: root sees them all\n");
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// What a look at the host found.
#[derive(Debug)]
pub(crate) struct Look {
    /// Who talks.
    pub(crate) rows: Vec<Row>,
    /// Processes whose sockets may not be read.
    pub(crate) unread: usize,
}

/// Looks once.
///
/// # Errors
///
/// When /proc cannot be read.
pub(crate) fn look(selection: &Selection) -> io::Result<Look> {
    let pids: Vec<u32> = pids()?;
    let mut reader = Reader::default();
    let facts: Vec<ProcessFacts> = pids.iter().filter_map(|pid| reader.read(*pid)).collect();
    let mut services = Services::new(String::new());
    for facts in &facts {
        services.process(facts.clone());
    }
    let mut sockets = Sockets::default();
    let mut unread = 0;
    let mut rows = Vec::new();
    for facts in &facts {
        match sockets.of(facts.pid) {
            Some(ports) if ports.talks() => {
                rows.push(row(facts, ports, &mut services, selection));
            }
            Some(_) => {}
            None => unread += 1,
        }
    }
    Ok(Look { rows, unread })
}

fn row(facts: &ProcessFacts, ports: Ports, services: &mut Services, selection: &Selection) -> Row {
    Row {
        pid: facts.pid,
        service: services.of(facts.pid).name.clone(),
        program: facts.exe.rsplit('/').next().unwrap_or_default().to_owned(),
        runtime: service::language(facts),
        tls: tls::library(facts),
        ports,
        traced: Traced::of(facts, services, selection),
    }
}

fn pids() -> io::Result<Vec<u32>> {
    let mut pids: Vec<u32> = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::selection::{Action, Conditions, Rule};

    #[test]
    fn a_process_that_listens_has_a_row_with_its_verdict() {
        let _listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let facts = Reader::default().read(std::process::id()).unwrap();
        let mut services = Services::new(String::new());
        services.process(facts.clone());
        let ports = Sockets::default().of(facts.pid).unwrap();
        assert!(ports.talks());
        let mut traced = |selection: &Selection| {
            services.forget_verdicts();
            row(&facts, ports.clone(), &mut services, selection).traced.to_string()
        };
        assert_eq!(traced(&Selection::default()), "yes");
        let conditions = Conditions::default();
        let all = Rule { name: "noise".into(), action: Action::Exclude, conditions };
        assert_eq!(traced(&Selection::new(vec![all])), "no: by the rule noise");
    }
}
