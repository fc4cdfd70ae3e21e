//! Services of a capture: known by address and port, and by nothing else.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use crate::input::Input;
use crate::service::{FIRST_ADDRESS, ProcessFacts};

/// Servers told apart in one capture. More than that is a scan, and shares one nameless service.
const SERVERS: u32 = 65_536;

/// What stands for each server in the place of a process.
#[derive(Debug, Default)]
pub(super) struct Servers(HashMap<SocketAddr, u32>);

impl Servers {
    /// The id of a server, made known when it is new.
    pub(super) fn id(&mut self, server: SocketAddr, out: &mut impl Extend<Input>) -> u32 {
        let next = FIRST_ADDRESS + u32::try_from(self.0.len()).unwrap_or(SERVERS).min(SERVERS);
        match self.0.entry(server) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if next - FIRST_ADDRESS == SERVERS => next,
            Entry::Vacant(free) => {
                let name = server.to_string();
                let variable = |name: &str, value: String| (name.to_owned(), value);
                let facts = ProcessFacts {
                    pid: next,
                    otel: vec![
                        variable("OTEL_RESOURCE_ATTRIBUTES", format!("service.instance.id={name}")),
                        variable("OTEL_SERVICE_NAME", name),
                    ],
                    ..ProcessFacts::default()
                };
                out.extend([Input::Process(Box::new(facts))]);
                *free.insert(next)
            }
        }
    }
}
