//! The whole table over any data events: headers are taken from the input's bytes as they are. Every exchange told
//! once, memory bounded, nothing left in the end.
#![no_main]

use abi::{Closed, DataHeader, Opened, ProcessEvent, TcpState};
use libfuzzer_sys::fuzz_target;
use spanwire::conn::{CONNECTION_HELD, Connections, Limits};
use spanwire::input::{ConnId, Nanos};
use spanwire_fuzz::Told;
use zerocopy::FromBytes;

/// Few, so that events meet, and so that some are forgotten.
const CONNECTIONS: usize = 4;

fuzz_target!(|input: &[u8]| {
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let mut table = Connections::new(limits);
    let mut told = Told::default();
    let mut reports = Vec::new();
    let mut rest = input;
    while let Some((kind, after)) = rest.split_first() {
        let Some(after) = event(*kind, after, &mut table, &mut reports) else { break };
        rest = after;
        assert!(table.len() <= CONNECTIONS);
        assert!(table.held() <= CONNECTIONS * CONNECTION_HELD, "{} bytes held", table.held());
        // A connection that was forgotten is read anew, perhaps from the same position: told once is for each life.
        told.check_lives(&mut reports);
    }
    table.finish(&mut reports);
    told.check_lives(&mut reports);
    told.finish();
    assert_eq!((table.len(), table.held()), (0, 0));
});

/// Feeds one event; `None` when the input is used up.
fn event<'a>(
    kind: u8,
    input: &'a [u8],
    table: &mut Connections,
    reports: &mut Vec<spanwire::exchange::Report>,
) -> Option<&'a [u8]> {
    let few = |connection: u64| connection % 6;
    Some(match kind % 8 {
        0 => {
            let (mut event, rest) = Opened::read_from_prefix(input).ok()?;
            event.connection = few(event.connection);
            table.opened(&event, reports);
            rest
        }
        1 => {
            let (mut event, rest) = TcpState::read_from_prefix(input).ok()?;
            event.connection = few(event.connection);
            table.tcp_state(&event);
            rest
        }
        2 => {
            let (mut event, rest) = Closed::read_from_prefix(input).ok()?;
            event.connection = few(event.connection);
            table.closed(&event);
            rest
        }
        3 => {
            let (event, rest) = ProcessEvent::read_from_prefix(input).ok()?;
            table.process_exit(&event);
            rest
        }
        4 => {
            let (now, rest) = u64::read_from_prefix(input).ok()?;
            table.tick(Nanos(now), reports);
            table.unix_gone(&[ConnId(few(now))]);
            rest
        }
        _ => {
            let (mut header, rest) = DataHeader::read_from_prefix(input).ok()?;
            header.connection = few(header.connection);
            let payload = if kind & 0x80 == 0 {
                // Most headers contradict themselves; these do not.
                header.direction &= 1;
                header.no_data %= 6;
                header.position %= 1 << 12;
                header.head = (header.head % 512).min(rest.len() as u32);
                header.tail = 0;
                header.len = header.head + header.len % 64;
                header.head as usize
            } else {
                (header.head as usize).min(rest.len())
            };
            let (payload, rest) = rest.split_at(payload);
            table.data(&header, payload, reports);
            rest
        }
    })
}
