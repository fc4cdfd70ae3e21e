//! Clocks of several hosts: how far they must differ for the requests between them to be possible at all.
//!
//! A server cannot read a request before its client began to send it, nor have answered after its client had the answer.
//! So each request between two hosts bounds how far their clocks differ, and many bound it closely. Times are only moved
//! where no clocks that agree could have seen this; spans of one host are never moved against each other, and nothing is
//! put into the middle of its parent because that looks right.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::pairs::pairs;
use super::tree::{NONE, Tree};
use crate::viewer::attributes::Value;
use crate::viewer::span::Process;
use crate::viewer::store::Trace;

/// A host whose clock cannot be that of the trace's first span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    pub(crate) host: String,
    /// How far it is ahead, ns, and by how much that may be wrong; `None` where its requests contradict each other.
    pub(crate) ahead: Option<(i64, u64)>,
}

/// What is to be added to the second host's times to have the first one's, ns: at least and at most.
type Bounds = (i64, i64);
/// Of pairs of hosts, the lower name first.
type Known = BTreeMap<(String, String), Bounds>;

/// What requests between hosts have told of their clocks.
#[derive(Default)]
pub(crate) struct Told {
    known: Known,
}

impl Told {
    /// Narrows what is known by the requests of this trace.
    pub(crate) fn learn(&mut self, trace: &Trace) {
        let hosts = Hosts::of(trace);
        if !hosts.are_one() {
            learn(trace, &hosts, &mut self.known);
        }
    }

    /// The clocks in this trace that differ from its first span's.
    pub(crate) fn clocks(&self, trace: &Trace) -> Vec<Clock> {
        let hosts = Hosts::of(trace);
        let Some(first) = Tree::of(trace).root().map(|root| hosts.at(root)) else {
            return Vec::new();
        };
        if hosts.are_one() {
            return Vec::new();
        }
        // Only what this trace connects is of interest.
        let mut connected = Known::new();
        learn(trace, &hosts, &mut connected);
        for (between, bounds) in &mut connected {
            if let Some(known) = self.known.get(between) {
                *bounds = (bounds.0.max(known.0), bounds.1.min(known.1));
            }
        }
        from_first(first, &connected)
    }
}

/// Its spans are of more than one host.
pub(crate) fn has_hosts(trace: &Trace) -> bool {
    !Hosts::of(trace).are_one()
}

/// From host to host, beginning at the first span's.
fn from_first(first: &str, known: &Known) -> Vec<Clock> {
    // What is to be added to a host's times, ns, and by how much that may be wrong.
    let mut moved: HashMap<&str, (i64, u64)> = HashMap::from([(first, (0, 0))]);
    let mut told = Vec::new();
    let mut next = VecDeque::from([first]);
    while let Some(here) = next.pop_front() {
        let (by, wrong) = moved[here];
        for ((a, b), bounds) in known {
            let (there, (least, most)) = match (a == here, b == here) {
                (true, false) => (b, *bounds),
                (false, true) => (a, (bounds.1.saturating_neg(), bounds.0.saturating_neg())),
                _ => continue,
            };
            if moved.contains_key(there.as_str()) {
                continue;
            }
            let all = if least <= most {
                let (add, more) = middle(least, most);
                (by.saturating_add(add), wrong.saturating_add(more))
            } else {
                told.push(Clock { host: there.clone(), ahead: None });
                (0, wrong)
            };
            if all.0 != 0 {
                let ahead = Some((all.0.saturating_neg(), all.1));
                told.push(Clock { host: there.clone(), ahead });
            }
            moved.insert(there, all);
            next.push_back(there);
        }
    }
    told
}

/// Nothing where clocks that agree are possible, else the middle; and how far the ends are from that.
fn middle(least: i64, most: i64) -> (i64, u64) {
    if least <= 0 && most >= 0 {
        return (0, least.unsigned_abs().max(most.unsigned_abs()));
    }
    let half = most.abs_diff(least) / 2;
    (least.saturating_add_unsigned(half), half)
}

/// The same trace, with those hosts' times moved to the first span's clock.
pub(crate) fn moved(trace: &Trace, clocks: &[Clock]) -> Trace {
    let hosts = Hosts::of(trace);
    let ahead = |at: usize| {
        let clock = clocks.iter().find(|clock| clock.host == hosts.at(at as u32))?;
        clock.ahead.map(|(ahead, _)| ahead)
    };
    trace
        .with_times(|at, time| time.saturating_add_signed(ahead(at).map_or(0, i64::saturating_neg)))
}

/// Whether a span's times were moved.
pub(crate) fn is_moved(trace: &Trace, clocks: &[Clock]) -> Vec<bool> {
    let hosts = Hosts::of(trace);
    let moves = |clock: &&Clock| clock.ahead.is_some();
    let moved: Vec<&str> = clocks.iter().filter(moves).map(|clock| clock.host.as_str()).collect();
    (0..trace.spans.len() as u32).map(|at| moved.contains(&hosts.at(at))).collect()
}

/// Narrows the bounds by each request between two hosts.
fn learn(trace: &Trace, hosts: &Hosts, known: &mut Known) {
    let other = pairs(trace, &Tree::of(trace));
    for (at, server) in other.iter().enumerate().filter(|(_, server)| **server != NONE) {
        let (client, server) = (&trace.spans[at], *server);
        if !client.kind.calls() {
            continue;
        }
        let (here, there) = (hosts.at(at as u32), hosts.at(server));
        if here == there || here.is_empty() || there.is_empty() {
            continue;
        }
        let server = &trace.spans[server as usize];
        let (mut least, mut most) =
            (difference(client.start, server.start), difference(client.end, server.end));
        let mut between = (here, there);
        if here > there {
            between = (there, here);
            (least, most) = (most.saturating_neg(), least.saturating_neg());
        }
        let between = (between.0.to_owned(), between.1.to_owned());
        let bounds = known.entry(between).or_insert((i64::MIN, i64::MAX));
        *bounds = (bounds.0.max(least), bounds.1.min(most));
    }
}

/// `a - b`, as near as a number can be to it.
fn difference(a: u64, b: u64) -> i64 {
    let far = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX);
    if a < b { -far } else { far }
}

/// The host of each span of a trace; empty for what does not say.
struct Hosts {
    names: Vec<String>,
    of: Vec<u32>,
}

impl Hosts {
    fn of(trace: &Trace) -> Self {
        let mut names: Vec<String> = Vec::new();
        let mut processes: HashMap<*const Process, u32> = HashMap::new();
        let of = trace
            .spans
            .iter()
            .map(|span| {
                *processes.entry(Arc::as_ptr(&span.process)).or_insert_with(|| {
                    let text = |key| {
                        let value = span.process.attributes.get(&trace.dictionary, key);
                        value.and_then(Value::text)
                    };
                    let name = text("host.name").or_else(|| text("host.id")).unwrap_or_default();
                    let known = names.iter().position(|known| known == name);
                    known.unwrap_or_else(|| {
                        names.push(name.to_owned());
                        names.len() - 1
                    }) as u32
                })
            })
            .collect();
        Self { names, of }
    }

    fn at(&self, span: u32) -> &str {
        &self.names[self.of[span as usize] as usize]
    }

    fn are_one(&self) -> bool {
        self.names.len() < 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::viewer::sample::{BEGIN, MS, Sample, store};
    use crate::viewer::span::Kind::{Client, Server};

    /// `web-01` asks `web-02`, which asks `web-03`: begins and ends of the four ends between them, ms.
    fn chain(id: u128, times: [(u64, u64); 4]) -> Sample {
        let [a, b, c, d] = times;
        Sample::new(id)
            .span((1, 0), Server, ("front@web-01", "GET /"), (a.0, a.1), &[])
            .span((2, 1), Client, ("front@web-01", "GET"), (a.0, a.1), &[])
            .span((3, 2), Server, ("shop@web-02", "GET /"), (b.0, b.1), &[])
            .span((4, 3), Client, ("shop@web-02", "GET"), (c.0, c.1), &[])
            .span((5, 4), Server, ("stock@web-03", "GET /"), (d.0, d.1), &[])
    }

    fn clocks(trace: &Trace, all: &[Arc<Trace>]) -> Vec<Clock> {
        let mut told = Told::default();
        all.iter().for_each(|trace| told.learn(trace));
        told.clocks(trace)
    }

    fn told(samples: Vec<Sample>) -> Vec<(String, Option<(i64, u64)>)> {
        let store = store(samples);
        let all = store.between(0, u64::MAX).traces;
        let trace = store.trace(1).unwrap();
        clocks(&trace, &all).into_iter().map(|clock| (clock.host, clock.ahead)).collect()
    }

    #[test]
    fn only_what_cannot_be_is_moved() {
        let fits = [(0, 100), (10, 90), (20, 80), (30, 70)];
        assert_eq!(told(vec![chain(1, fits)]), []);
        // The second host's clock is 200 ms ahead, give or take 10; the third one's agrees with it.
        let ahead = [(0, 100), (210, 290), (220, 280), (230, 270)];
        let ms = |ms: u64| (ms * MS) as i64;
        assert_eq!(
            told(vec![chain(1, ahead)]),
            [
                ("web-02".to_owned(), Some((ms(200), 10 * MS))),
                ("web-03".to_owned(), Some((ms(200), 20 * MS)))
            ]
        );
        // Another trace knows it better.
        let closer = [(0, 100), (201, 299), (220, 280), (230, 270)];
        let both = told(vec![chain(1, ahead), chain(2, closer)]);
        assert_eq!(both[0], ("web-02".to_owned(), Some((ms(200), MS))));
        // And one that contradicts both: then nothing is moved, and it is said.
        let other = [(0, 100), (10, 90), (20, 80), (30, 70)];
        let contradicting = told(vec![chain(1, ahead), chain(2, other)]);
        assert_eq!(contradicting, [("web-02".to_owned(), None)]);
    }

    #[test]
    fn one_host_is_never_touched() {
        let odd = Sample::new(1).span((1, 0), Client, ("a@web-01", "GET"), (100, 200), &[]).span(
            (2, 1),
            Server,
            ("b@web-01", "GET /"),
            (0, 500),
            &[],
        );
        assert_eq!(told(vec![odd]), []);
        let unnamed = Sample::new(1).span((1, 0), Client, ("a", "GET"), (100, 200), &[]).span(
            (2, 1),
            Server,
            ("b@web-01", "GET /"),
            (0, 500),
            &[],
        );
        assert_eq!(told(vec![unnamed]), []);
    }

    proptest! {
        #[test]
        fn moved_times_are_possible(
            ahead in [-900_i64..900, -900_i64..900],
            legs in prop::collection::vec(prop::array::uniform6(0..50_u64), 1..6),
        ) {
            let samples = legs.iter().enumerate().map(|(number, legs)| {
                let [a, b, c, d, e, f] = *legs;
                let mut time = 1_000;
                let mut begins = vec![time];
                for leg in [a, b, c] { time += leg; begins.push(time); }
                let mut ends = Vec::new();
                for leg in [d, e, f, 1] { time += leg; ends.push(time); }
                ends.reverse();
                let by = [0, ahead[0], ahead[0], ahead[1]];
                let at = |i: usize| (begins[i].saturating_add_signed(by[i]), ends[i].saturating_add_signed(by[i]));
                chain(number as u128 + 1, [at(0), at(1), at(2), at(3)])
            });
            let store = store(samples);
            let all = store.between(0, u64::MAX).traces;
            let trace = store.trace(1).unwrap();
            let clocks = clocks(&trace, &all);
            // Clocks that only differ never contradict each other, and within what may be wrong it is right.
            for clock in &clocks {
                let (found, wrong) = clock.ahead.expect("they do not contradict each other");
                let true_ahead = ahead[usize::from(clock.host == "web-03")] * MS as i64;
                prop_assert!(found.abs_diff(true_ahead) <= wrong + 1, "{clocks:?}");
            }
            let moved = moved(&trace, &clocks);
            for (outer, inner) in [(1, 2), (3, 4)] {
                let (outer, inner) = (&moved.spans[outer], &moved.spans[inner]);
                prop_assert!(outer.start <= inner.start + 1 && inner.end <= outer.end + 1, "{clocks:?}");
            }
            prop_assert_eq!(moved.spans[0].start, BEGIN + 1_000 * MS);
        }
    }
}
