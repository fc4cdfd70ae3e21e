//! Whatever is asked, of whatever was sent: an answer, never a panic.

use proptest::prelude::*;

use super::*;
use crate::export::sample;
use crate::viewer::sample::{BEGIN, MS, Sample, checkout};
use crate::viewer::span::Kind;

const PATHS: [&str; 22] = [
    "/view/host",
    "/view/traces",
    "/view/keys",
    "/view/red",
    "/view/edges",
    "/view/heat",
    "/view/differs",
    "/view/trace/1",
    "/view/trace/1/otlp",
    "/view/trace/1/span/1",
    "/view/compare/1/2",
    "/view/typical/1",
    "/api/services",
    "/api/services/a/operations",
    "/api/traces",
    "/api/traces/2",
    "/api/dependencies",
    "/api/v3/services",
    "/api/v3/operations",
    "/api/v3/traces",
    "/api/v3/traces/2",
    "/api/v3/trace-summaries",
];

/// Spans of two traces, with ids that clash and times from the beginning to the end of them.
fn hostile() -> impl Strategy<Value = Vec<(u128, u64, u64, u8, u64, u64)>> {
    let time =
        prop_oneof![Just(0), Just(u64::MAX), Just(BEGIN), BEGIN..BEGIN + 1_000 * MS, any::<u64>()];
    let span = (1..3_u128, 1..9_u64, 0..9_u64, 0..5_u8, time.clone(), time);
    prop::collection::vec(span, 1..30)
}

fn filled(spans: Vec<(u128, u64, u64, u8, u64, u64)>) -> Viewer {
    let viewer = Viewer::new(Limits::default());
    viewer.store().take(sample::request(checkout(3).spans), BEGIN);
    for (trace, id, parent, kind, start, end) in spans {
        let kind = [Kind::Internal, Kind::Server, Kind::Client, Kind::Producer, Kind::Consumer]
            [usize::from(kind)];
        let error = [("error.type", "timeout"), ("server.address", "x")];
        let mut sample = Sample::new(trace).span((id, parent), kind, ("a", "GET"), (0, 1), &error);
        sample.spans[0].span.start_time_unix_nano = start;
        sample.spans[0].span.end_time_unix_nano = end;
        viewer.store().take(sample::request(sample.spans), BEGIN);
    }
    viewer.store().tick(BEGIN + 10_000 * MS);
    viewer
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn nothing_asked_is_answered_by_a_panic(
        spans in hostile(),
        asked in prop_oneof![
            Just(String::new()),
            Just("t=0..99999999999999".to_owned()),
            Just("t=0..18446744073709".to_owned()),
            Just("t=0..18446744073709&box=0,1e300,-1,inf&sort=slowest".to_owned()),
            Just("service=a&start=0&end=18446744073709551615&limit=99999999999".to_owned()),
            Just("endTs=18446744073709551615&lookback=18446744073709551615".to_owned()),
            "(q|t|box|limit|service|tags|start|end)=[0-9a-z.,=%{}()<>]{0,20}",
        ],
        now in prop_oneof![Just(BEGIN + 10_000 * MS), Just(0), Just(u64::MAX)],
    ) {
        let viewer = filled(spans);
        for path in PATHS {
            let answer = viewer.answer(path, &asked, now);
            prop_assert!(answer.is_some(), "{path} is known");
        }
    }
}

#[test]
fn no_two_nodes_of_the_map_have_one_name() {
    let viewer = Viewer::new(Limits::default());
    // A service, and an address that is called like it and is seen from outside only.
    let called = Sample::new(1).span((1, 0), Kind::Server, ("shop", "GET /"), (0, 5), &[]);
    let address = [("server.address", "shop")];
    let asks = Sample::new(2).span((1, 0), Kind::Server, ("front", "GET /"), (0, 5), &[]).span(
        (2, 1),
        Kind::Client,
        ("front", "GET"),
        (1, 4),
        &address,
    );
    for sample in [called, asks] {
        viewer.store().take(sample::request(sample.spans), BEGIN);
    }
    let map = viewer.answer("/view/edges", "t=1h", BEGIN + 1_000 * MS).unwrap().unwrap();
    let mut names: Vec<&str> =
        map["nodes"].as_array().unwrap().iter().filter_map(|node| node["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["clients", "front", "shop", "shop (from outside)"]);
    let edges = map["edges"].as_array().unwrap();
    assert!(edges.iter().any(|e| e["from"] == "front" && e["to"] == "shop (from outside)"));
}
