//! Scores of made-up spans: a perfect tracer, and every way to be less.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::graph::Graph;
use super::*;

const LEVELS: [(&str, bool); 4] = [("front", true), ("a", false), ("b", false), ("c", false)];

fn truth(requests: usize, fan_out: usize) -> Truth {
    let graph = Graph::levels("us", &LEVELS, fan_out);
    Truth {
        requests: (0..requests).map(|number| graph.tree(number)).collect(),
        pings: (0..2).map(|number| graph.ping(1, number)).collect(),
        early: Vec::new(),
    }
}

/// What a tracer without a fault stores.
fn perfect(truth: &Truth) -> Vec<Stored> {
    let mut stored: Vec<Stored> = Vec::new();
    for (trace, tree) in truth.requests.iter().chain(&truth.pings).enumerate() {
        let first = stored.len();
        for (at, node) in tree.iter().enumerate() {
            stored.push(Stored {
                end: node.end.clone(),
                trace: format!("trace {trace}"),
                id: (first + at).to_string(),
                parent: node.parent.map_or(String::new(), |up| (first + up).to_string()),
            });
        }
    }
    stored
}

fn decoy(path: &str, kind: Kind, service: &str, id: &str, parent: &str) -> Stored {
    let end = End { service: service.to_owned(), kind, path: path.to_owned() };
    let trace = if parent.is_empty() { id } else { "trace 0" };
    Stored { end, trace: trace.to_owned(), id: id.to_owned(), parent: parent.to_owned() }
}

fn at<'a>(stored: &'a mut [Stored], service: &str, kind: Kind, path: &str) -> &'a mut Stored {
    let mut all = stored.iter_mut();
    let is = |span: &&mut Stored| {
        (&*span.end.service, span.end.kind, &*span.end.path) == (service, kind, path)
    };
    all.find(is).unwrap()
}

#[test]
fn a_perfect_tracer_is_exact() {
    let truth = truth(3, 2);
    let scores = score(&truth, &perfect(&truth));
    let exact = |exact| Score { exact, ..Score::default() };
    // Calls: front's one, a's two, b's four.
    assert_eq!((scores.inside, scores.between, scores.roots), (exact(21), exact(24), exact(3)));
    assert_eq!((scores.decoys, scores.whole, scores.wrong()), (exact(4), 3, 0));
}

#[test]
fn another_requests_span_is_wrong_and_none_is_absent() {
    let truth = truth(2, 1);
    let mut stored = perfect(&truth);
    let other = at(&mut stored, "a", Kind::Server, "/call/1").id.clone();
    at(&mut stored, "a", Kind::Client, "/call/0.0").parent = other;
    at(&mut stored, "b", Kind::Client, "/call/0.0.0").parent.clear();
    at(&mut stored, "b", Kind::Client, "/call/0.0.0").trace = "of its own".to_owned();
    let scores = score(&truth, &stored);
    assert_eq!((scores.inside.wrong, scores.inside.absent, scores.whole), (1, 1, 1));
    // The span below the absent one is still of the old trace.
    assert_eq!(scores.between.wrong, 1);
    assert!(scores.told[0].contains("/call/0.0"), "{:?}", scores.told);
}

#[test]
fn the_right_parent_in_another_trace_is_wrong() {
    let truth = truth(1, 1);
    let mut stored = perfect(&truth);
    at(&mut stored, "c", Kind::Server, "/call/0.0.0").trace = "another".to_owned();
    assert_eq!(score(&truth, &stored).between.wrong, 1);
}

#[test]
fn a_lost_parent_proves_nothing_but_a_made_up_one_is_wrong() {
    let truth = truth(1, 1);
    let mut stored = perfect(&truth);
    stored.retain(|span| (&*span.end.service, span.end.kind) != ("a", Kind::Server));
    let scores = score(&truth, &stored);
    assert_eq!((scores.between.missing, scores.inside.absent, scores.wrong()), (1, 1, 0));
    let mut stored = perfect(&truth);
    at(&mut stored, "a", Kind::Client, "/call/0.0").parent = "unheard of".to_owned();
    assert_eq!(score(&truth, &stored).inside.wrong, 1);
}

#[test]
fn what_is_delivered_twice_is_one() {
    let truth = truth(2, 1);
    let stored = perfect(&truth);
    assert_eq!(score(&truth, &[stored.clone(), stored.clone()].concat()), score(&truth, &stored));
}

#[test]
fn twins_and_inventions_are_wrong() {
    let truth = truth(1, 1);
    let mut stored = perfect(&truth);
    let twin = Stored { id: "twin".to_owned(), ..stored[3].clone() };
    stored.push(twin);
    stored.push(decoy("/call/99", Kind::Server, "a", "x", ""));
    stored.push(decoy("/somebody/elses", Kind::Server, "a", "y", ""));
    assert_eq!(score(&truth, &stored).invented, 2);
}

#[test]
fn a_trace_begins_once() {
    let truth = truth(2, 1);
    let mut stored = perfect(&truth);
    for span in &mut stored {
        span.trace = "one for all".to_owned();
    }
    // Two requests and two pings begin it.
    assert_eq!(score(&truth, &stored).wrong(), 3);
}

#[test]
fn an_orphan_in_its_own_requests_trace_is_absent() {
    let truth = truth(2, 1);
    let mut stored = perfect(&truth);
    at(&mut stored, "a", Kind::Client, "/call/0.0").parent.clear();
    let scores = score(&truth, &stored);
    assert_eq!((scores.wrong(), scores.inside.absent), (0, 1));
    let other = at(&mut stored, "a", Kind::Client, "/call/1.0").trace.clone();
    at(&mut stored, "a", Kind::Client, "/call/0.0").trace = other;
    assert!(score(&truth, &stored).wrong() > 0);
}

#[test]
fn decoys_belong_to_nobody_but_their_cause() {
    let truth = truth(2, 1);
    let perfect = perfect(&truth);
    let mut all = perfect.clone();
    let cause = at(&mut all, "a", Kind::Server, "/call/0").id.clone();
    let other = at(&mut all, "a", Kind::Server, "/call/1").id.clone();
    let verdict = |more: &[Stored]| {
        let mut stored = perfect.clone();
        stored.extend_from_slice(more);
        let decoys = score(&truth, &stored).decoys;
        (decoys.exact - 4, decoys.absent, decoys.wrong) // two pings, both ends of each
    };
    let call = |path: &str, parent: &str| decoy(path, Kind::Client, "a", "call", parent);
    assert_eq!(verdict(&[call("/later/0", &cause)]), (1, 0, 0));
    assert_eq!(verdict(&[call("/later/0", &other)]), (0, 0, 1));
    for path in ["/timer/a.1", "/after/0"] {
        assert_eq!(verdict(&[call(path, "")]), (1, 0, 0));
        assert_eq!(verdict(&[call(path, &cause)]), (0, 0, 1));
    }
    let served = |parent: &str| decoy("/later/0", Kind::Server, "b", "served", parent);
    assert_eq!(verdict(&[served("")]), (0, 1, 0));
    assert_eq!(verdict(&[served("lost")]), (0, 1, 0));
    assert_eq!(verdict(&[served(&cause)]), (0, 0, 1));
    assert_eq!(verdict(&[call("/later/0", &cause), served("call")]), (2, 0, 0));
}

#[test]
fn of_early_requests_only_what_is_wrong_counts() {
    let mut truth = truth(3, 1);
    let mut stored = perfect(&truth);
    truth.early = truth.requests.split_off(1);
    let other = at(&mut stored, "a", Kind::Server, "/call/0").id.clone();
    at(&mut stored, "a", Kind::Client, "/call/1.0").parent = other;
    stored.retain(|span| span.end.path != "/call/2.0.0");
    let scores = score(&truth, &stored);
    assert_eq!((scores.decoys.wrong, scores.invented, scores.missing()), (1, 0, 0));
    assert_eq!((scores.requests, scores.whole, scores.sent()), (1, 1, 8));
}

/// What is done to one span of a perfect tracer's.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Lost,
    Orphaned,
    Adopted,
}

proptest! {
    /// Nothing is counted twice or left out, and each harm is found for what it is.
    #[test]
    fn each_harm_is_counted_once(
        requests in 1..6_usize,
        fan_out in 1..4_usize,
        harms in prop::collection::vec((any::<Index>(), 0..3_u8), 0..10),
        shuffled in any::<u64>(),
    ) {
        let truth = truth(requests, fan_out);
        let sent: usize = truth.requests.iter().map(Vec::len).sum();
        let mut stored = perfect(&truth);
        let mut harmed: HashMap<usize, Harm> = HashMap::new();
        for (index, harm) in &harms {
            let harm = [Harm::Lost, Harm::Orphaned, Harm::Adopted][usize::from(*harm)];
            harmed.entry(index.index(sent)).or_insert(harm);
        }
        for (&at, harm) in &harmed {
            match harm {
                Harm::Lost => {}
                // It begins a trace of its own, and takes nobody along: whatever is below it is now of another trace.
                Harm::Orphaned => stored[at].parent.clear(),
                // The second ping's server is nobody's true parent.
                Harm::Adopted => stored[at].parent = stored[stored.len() - 1].id.clone(),
            }
        }
        let mut at = 0;
        stored.retain(|_| { at += 1; !matches!(harmed.get(&(at - 1)), Some(Harm::Lost)) });
        let middle = shuffled as usize % stored.len();
        stored.rotate_left(middle);

        let scores = score(&truth, &stored);
        prop_assert_eq!(scores.sent(), sent as u64);
        prop_assert_eq!(scores.requests, requests as u64);
        let count = |wanted: fn(&Harm) -> bool| harmed.values().filter(|harm| wanted(harm)).count() as u64;
        prop_assert_eq!(scores.missing(), count(|harm| matches!(harm, Harm::Lost)));
        let all = [scores.inside, scores.between, scores.roots];
        let adopted = count(|harm| matches!(harm, Harm::Adopted));
        prop_assert_eq!(all.iter().map(|score| score.wrong).sum::<u64>(), adopted);
        // Those whose parents were lost are absent, too, and roots that lost nothing are exact.
        let absent: u64 = all.iter().map(|score| score.absent).sum();
        prop_assert!(absent <= count(|harm| !matches!(harm, Harm::Adopted)) * fan_out as u64);
        prop_assert!(scores.whole <= scores.requests);
        prop_assert_eq!(scores.whole == scores.requests, harms.is_empty() || scores.inside.exact + scores.between.exact + scores.roots.exact == sent as u64);
    }
}
