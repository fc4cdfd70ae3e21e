//! A made-up load of HTTP/1.1 on one host, the same every time: what benches run on and what instructions are counted
//! over.
//!
//! It is what the kernel would report of a few services that ask each other: both ends of each connection, keep-alive
//! mostly, small answers mostly, some uploads, downloads and chunked bodies, copied as frugally as the probes copy.
//! It must not read a clock or a random number.

mod talk;

use abi::{Closed, ControlHeader, ControlKind, DataHeader, Direction, Opened, data_flag};
use spanwire::{
    input::{Input, Nanos},
    record::{Header, Metadata},
    service::ProcessFacts,
};

use self::talk::{Call, Exchange};

/// Services that ask, and as many that answer.
const PAIRS: u32 = 16;
/// Exchanges on a connection before the next one is opened.
const ON_A_CONNECTION: u64 = 64;
/// Time between two events: a host with some 12,000 exchanges a second.
const STEP: u64 = 20_000;
/// Time between two ticks, as the agent has it.
const TICK: u64 = 100_000_000;
/// Where everything begins, ns.
const BEGIN: u64 = 1_000_000_000_000;
/// A byte string that only the load's own positions use.
const LAP: u64 = 1 << 32;

/// What a recording of this load begins with.
pub(crate) fn header() -> Header {
    let metadata = Metadata { host: "bench".to_owned(), ..Metadata::default() };
    Header { seed: [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210], metadata }
}

/// All inputs of so many exchanges, as both ends report them.
pub(crate) fn inputs(exchanges: u64) -> Vec<Input> {
    let mut load = Load { now: BEGIN, ticked: BEGIN, inputs: Vec::new() };
    let mut pairs: Vec<Pair> = (0..PAIRS).map(Pair::new).collect();
    for pair in &pairs {
        load.inputs.extend([pair.client, pair.server].map(process));
    }
    for number in 0..exchanges {
        let pair = &mut pairs[(number % u64::from(PAIRS)) as usize];
        if pair.spoken == ON_A_CONNECTION || pair.connection == 0 {
            load.reopen(pair, number);
        }
        pair.spoken += 1;
        let exchange = Exchange::new(number, pair.port());
        for call in &exchange.request {
            load.moved(pair, Direction::Sent, call);
        }
        for call in &exchange.answer {
            load.moved(pair, Direction::Received, call);
        }
    }
    // Time for all that waits to go out.
    for _ in 0..100 {
        load.tick();
        load.now += TICK;
    }
    load.inputs
}

/// Two processes that are connected.
struct Pair {
    client: u32,
    server: u32,
    /// Generation of the client's end; the server's is the next.
    connection: u64,
    spoken: u64,
    /// Next positions: what the client sends, what it receives.
    next: [u64; 2],
}

impl Pair {
    const fn new(number: u32) -> Self {
        Self {
            client: 1000 + number,
            server: 2000 + number,
            connection: 0,
            spoken: 0,
            next: [LAP, LAP],
        }
    }

    const fn port(&self) -> u16 {
        8000 + (self.server % 1000) as u16
    }

    /// One end as it is announced: the client's, or the server's.
    fn opened(&self, at_client: bool, time: u64) -> Opened {
        let local = [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        // Ports of clients lie where the kernel gives them out; a connection has its own for long enough.
        let (client, server) = (32_768 + ((self.connection >> 13) % 28_000) as u16, self.port());
        let [asked, answered] = self.next;
        let mut opened = Opened {
            header: ControlHeader { time, kind: ControlKind::Opened as u32, reserved: 0 },
            connection: self.connection,
            sent: asked,
            received: answered,
            local_address: local,
            remote_address: local,
            local_port: client,
            remote_port: server,
            family: 2, // AF_INET
            tgid: self.client,
            netns: 1,
            parent: 1,
            born: 1,
            ..Opened::default()
        };
        if !at_client {
            opened.connection += 1 << 12;
            opened.tgid = self.server;
            (opened.sent, opened.received) = (answered, asked);
            (opened.local_port, opened.remote_port) = (server, client);
        }
        opened
    }
}

struct Load {
    now: u64,
    ticked: u64,
    inputs: Vec<Input>,
}

impl Load {
    fn step(&mut self) -> u64 {
        self.now += STEP;
        if self.now - self.ticked >= TICK {
            self.tick();
        }
        self.now
    }

    fn tick(&mut self) {
        self.ticked = self.now;
        self.inputs
            .push(Input::Tick { now: Nanos(self.now), wall_offset: 1_700_000_000_000_000_000 });
    }

    /// Ends the pair's connection, if it has one, and opens another.
    fn reopen(&mut self, pair: &mut Pair, number: u64) {
        if pair.connection != 0 {
            for connection in [pair.connection, pair.connection + (1 << 12)] {
                let time = self.step();
                let header = ControlHeader { time, kind: ControlKind::Closed as u32, reserved: 0 };
                self.inputs.push(Input::Closed(Closed { header, connection }));
            }
        }
        pair.connection = (number + 1) << 13;
        pair.spoken = 0;
        // Sequence numbers begin anywhere.
        pair.next = [LAP + number * 1_000_003, LAP + number * 2_000_003];
        for at_client in [true, false] {
            let time = self.step();
            self.inputs.push(Input::Opened(pair.opened(at_client, time)));
        }
    }

    /// One call's bytes leave one end and arrive at the other. The direction is the client's.
    fn moved(&mut self, pair: &mut Pair, direction: Direction, call: &Call) {
        let way = direction as usize;
        let position = pair.next[way];
        pair.next[way] += u64::from(call.len);
        let client = (pair.connection, pair.client, direction);
        let server = (pair.connection + (1 << 12), pair.server, direction.opposite());
        let order = if direction == Direction::Sent { [client, server] } else { [server, client] };
        for (connection, tgid, direction) in order {
            let waits = direction == Direction::Received && tgid == pair.server;
            let flags = if waits { data_flag::THREAD_WAITS } else { 0 };
            let header = DataHeader {
                time: self.step(),
                connection,
                position,
                len: call.len,
                tgid,
                tid: tgid,
                head: call.head.len() as u32,
                tail: call.tail.len() as u32,
                direction: direction as u8,
                flags,
                ..DataHeader::default()
            };
            let payload = [call.head.as_slice(), call.tail.as_slice()].concat();
            self.inputs.push(Input::Data(header, payload.into()));
        }
    }
}

fn process(pid: u32) -> Input {
    let name = if pid < 2000 { format!("shop{pid}") } else { format!("stock{pid}") };
    Input::Process(Box::new(ProcessFacts {
        pid,
        parent: 1,
        start_ticks: u64::from(pid),
        comm: "python3".to_owned(),
        exe: "/usr/bin/python3".to_owned(),
        arguments: vec!["python3".to_owned(), format!("/srv/{name}.py")],
        directory: "/srv".to_owned(),
        ..ProcessFacts::default()
    }))
}
