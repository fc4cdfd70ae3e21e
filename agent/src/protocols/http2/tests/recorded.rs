//! The recorded conversations once more, of real encoders with their own habits: joined at every call, and with every
//! call lost, what is told is what the whole says, or less.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::Path;

use super::reading::Reading;
use crate::exchange::{Call, Finished, Report};
use crate::protocols::Body;
use crate::protocols::fixture::unescape;
use crate::protocols::http2::stream::Part;

/// The calls of a talk.
fn calls(path: &Path) -> Vec<(Part, Vec<u8>)> {
    let talk = std::fs::read_to_string(path).unwrap();
    let call = |line: &str| match line.split_once(' ')? {
        (">", bytes) => Some((Part::Request, unescape(bytes))),
        ("<", bytes) => Some((Part::Answer, unescape(bytes))),
        _ => None,
    };
    talk.lines().filter_map(call).collect()
}

/// What is told by whoever comes at call `late`, and loses call `lost`.
fn told(calls: &[(Part, Vec<u8>)], late: usize, lost: Option<usize>) -> Vec<Finished> {
    let mut reading = Reading::new(true, late > 0);
    for (number, (part, bytes)) in calls.iter().enumerate() {
        if number < late {
            reading.before(*part, bytes.len() as u64);
        } else if lost == Some(number) {
            reading.piece(*part, Body::Gap(bytes.len() as u64));
        } else {
            reading.piece(*part, Body::Bytes(bytes));
        }
    }
    reading.end();
    let finished = |report| match report {
        Report::Finished(finished) => Some(*finished),
        Report::Started(_) => None,
    };
    reading.reports.into_iter().filter_map(finished).collect()
}

/// Method, path, status, gRPC's status.
type Facts = [Option<String>; 4];

fn facts(finished: &Finished) -> Facts {
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    match &finished.call {
        Call::Http(http) => {
            [http.method.clone(), http.target.clone(), number(http.status.map(u32::from)), None]
        }
        Call::Rpc(rpc) => [
            None,
            rpc.method.as_ref().map(|method| format!("/{method}")),
            number(rpc.http_status.map(u32::from)),
            number(rpc.status),
        ],
    }
}

#[test]
fn whoever_comes_late_or_misses_something_says_less_and_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocols/http2/fixtures");
    let mut with_path = [0; 2];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("recorded_") || name.contains("middle") || !name.ends_with(".talk") {
            continue;
        }
        let calls = calls(&path);
        let whole: BTreeMap<u64, Finished> = told(&calls, 0, None)
            .into_iter()
            .map(|finished| (finished.id.position, finished))
            .collect();
        let ways = (1..calls.len())
            .map(|late| (late, None))
            .chain((0..calls.len()).map(|lost| (0, Some(lost))));
        for (late, lost) in ways {
            for finished in told(&calls, late, lost) {
                let truth = whole.get(&finished.id.position);
                let truth = truth.unwrap_or_else(|| panic!("{name} {late} {lost:?} {finished:?}"));
                let is_rpc = matches!(truth.call, Call::Rpc(_));
                let (known, all) = (facts(&finished), facts(truth));
                for (known, truth) in known.iter().zip(&all) {
                    // What is not known to be gRPC is told as HTTP, with a method.
                    let fits = known.is_none() || known == truth || is_rpc && truth.is_none();
                    assert!(fits, "{name} {late} {lost:?} {finished:?} {all:?}");
                }
                let [_, path, ..] = known;
                with_path[usize::from(late > 0)] += usize::from(path.is_some());
            }
        }
    }
    // Real clients say much anew, and one lost call hides little.
    let [with_a_loss, late] = with_path;
    assert!(with_a_loss > 1000 && late > 400, "{with_path:?}");
}
