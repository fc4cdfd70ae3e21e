//! What is told of any legal conversation: everything when everything was seen, and nothing wrong ever.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::conversation::{Conversation, Ending, Truth, conversation, plan};
use super::reading::Reading;
use crate::exchange::{Call, Failure, Finished, Report};
use crate::input::Waits;
use crate::protocols::Body;
use crate::protocols::http2::stream::Part;

/// How the next stretch is seen.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Left out, if it may be.
    skip: bool,
    /// In one call with the one before.
    join: bool,
    /// The rest of a call after so many octets is another call.
    at: usize,
    /// Lost.
    gap: bool,
}

fn cuts(gaps: f64) -> impl Strategy<Value = Vec<Cut>> {
    let at = prop_oneof![Just(usize::MAX), 1usize..40];
    let cut = (any::<bool>(), any::<bool>(), at, proptest::bool::weighted(gaps))
        .prop_map(|(skip, join, at, gap)| Cut { skip, join, at, gap });
    proptest::collection::vec(cut, 1..60)
}

#[derive(Debug)]
enum Seen {
    Bytes(Vec<u8>),
    Skip(u64),
    Gap(u64),
}

/// The conversation as it is seen.
fn pieces(conversation: &Conversation, cuts: &[Cut]) -> Vec<(Part, Seen)> {
    let mut pieces: Vec<(Part, Seen)> = Vec::new();
    for (chunk, cut) in conversation.chunks.iter().zip(cuts.iter().cycle()) {
        let (part, octets) = (chunk.part, chunk.bytes.len() as u64);
        if cut.gap {
            pieces.push((part, Seen::Gap(octets)));
        } else if cut.skip && chunk.skippable {
            pieces.push((part, Seen::Skip(octets)));
        } else if let (true, Some((before, Seen::Bytes(bytes)))) = (cut.join, pieces.last_mut())
            && *before == part
        {
            bytes.extend(&chunk.bytes);
        } else {
            let (first, rest) = chunk.bytes.split_at(cut.at.min(chunk.bytes.len()));
            for bytes in [first, rest] {
                if !bytes.is_empty() {
                    pieces.push((part, Seen::Bytes(bytes.to_vec())));
                }
            }
        }
    }
    pieces
}

/// Reads from piece number `late` on.
fn read(pieces: &[(Part, Seen)], late: usize, client: bool) -> Vec<Report> {
    let mut reading = Reading::new(client, late > 0);
    for (number, (part, seen)) in pieces.iter().enumerate() {
        let body = match seen {
            Seen::Bytes(bytes) => Body::Bytes(bytes),
            Seen::Skip(n) => Body::Skip(*n),
            Seen::Gap(n) => Body::Gap(*n),
        };
        if number < late {
            reading.before(*part, body_len(body));
        } else {
            reading.piece(*part, body);
        }
    }
    reading.end();
    reading.reports
}

const fn body_len(body: Body<'_>) -> u64 {
    match body {
        Body::Bytes(bytes) => bytes.len() as u64,
        Body::Skip(n) | Body::Gap(n) | Body::Hidden(n) => n,
    }
}

/// Every exchange is begun where a request begins, ended once, and nothing that is said of it is wrong.
fn nothing_is_wrong(told: &[Report], conversation: &Conversation) -> Vec<(Truth, Finished)> {
    let mut open = BTreeSet::new();
    let mut done = Vec::new();
    for report in told {
        match report {
            Report::Started(started) => {
                assert!(conversation.truth.contains_key(&started.id.position), "{started:?}");
                assert!(open.insert(started.id.position), "begun twice: {started:?}");
                assert_eq!((started.serving, started.thread_waits), (None, Waits::Otherwise));
            }
            Report::Finished(finished) => {
                assert!(open.contains(&finished.id.position), "{finished:?}");
                let truth = &conversation.truth[&finished.id.position];
                is_right(finished, truth);
                done.push((truth.clone(), (**finished).clone()));
            }
        }
    }
    assert_eq!(open.len(), done.len(), "never ended");
    let names: BTreeSet<_> = done.iter().map(|(_, finished)| finished.id.position).collect();
    assert_eq!(names.len(), done.len(), "ended twice");
    done
}

/// What is known is true.
fn is_right(finished: &Finished, truth: &Truth) {
    let same = |known: Option<&str>, truth: &str| known.is_none_or(|known| known == truth);
    match &finished.call {
        Call::Http(http) => {
            assert!(same(http.method.as_deref(), &truth.method), "{http:?} {truth:?}");
            assert!(same(http.target.as_deref(), &truth.path), "{http:?} {truth:?}");
            assert!(http.status.is_none() || http.status == truth.status, "{http:?} {truth:?}");
            let request = Some(truth.request.0);
            assert!(
                http.request_body.is_none() || http.request_body == request,
                "{http:?} {truth:?}"
            );
            let answer = truth.answer.map(|(octets, _)| octets);
            assert!(
                http.response_body.is_none() || http.response_body == answer,
                "{http:?} {truth:?}"
            );
        }
        Call::Rpc(rpc) => {
            assert!(truth.grpc);
            assert!(same(rpc.method.as_deref(), &truth.path[1..]), "{rpc:?} {truth:?}");
            assert!(rpc.status.is_none() || rpc.status == truth.grpc_status, "{rpc:?} {truth:?}");
            let requests = Some(truth.request.1);
            assert!(
                rpc.request_messages.is_none() || rpc.request_messages == requests,
                "{rpc:?} {truth:?}"
            );
            let answers = truth.answer.map(|(_, messages)| messages);
            assert!(
                rpc.response_messages.is_none() || rpc.response_messages == answers,
                "{rpc:?} {truth:?}"
            );
        }
    }
    match finished.failure {
        None => assert_eq!(truth.ending, Ending::Complete, "{finished:?}"),
        Some(Failure::StreamReset(code)) => {
            let Ending::Reset(_, by, sent) = truth.ending else { panic!("{finished:?} {truth:?}") };
            let given_up = by == Part::Request && sent == 0;
            assert_eq!(code, if given_up { 8 } else { sent });
        }
        // Never ended, or the end was lost with what came after it.
        Some(Failure::ConnectionReset | Failure::Unseen) => {}
        Some(other) => panic!("{other:?}"),
    }
}

/// All that is true is known.
fn is_all(finished: &Finished, truth: &Truth) {
    let (octets, messages) = truth.request;
    let request = |number: u64| truth.request_first.then_some(number);
    let answer = |messages: bool| truth.answer.map(|(octets, n)| if messages { n } else { octets });
    match &finished.call {
        Call::Http(http) => {
            assert!(!truth.grpc);
            assert_eq!(http.method.as_deref(), Some(&*truth.method));
            assert_eq!(http.target.as_deref(), Some(&*truth.path));
            assert_eq!(http.authority.as_deref(), Some("shop:50051"));
            assert_eq!(http.status, truth.status);
            if truth.ending == Ending::Complete {
                assert_eq!(http.request_body, request(octets));
                assert_eq!(http.response_body, answer(false));
            }
        }
        Call::Rpc(rpc) => {
            assert_eq!(rpc.method.as_deref(), Some(&truth.path[1..]));
            assert_eq!(rpc.status, truth.grpc_status);
            if truth.ending == Ending::Complete {
                assert_eq!(rpc.request_messages, request(messages));
                assert_eq!(rpc.response_messages, answer(true));
            }
        }
    }
    assert_eq!(
        finished.failure.is_none(),
        truth.ending == Ending::Complete,
        "{finished:?} {truth:?}"
    );
    assert_ne!(finished.failure, Some(Failure::Unseen));
}

proptest! {
    #[test]
    fn a_conversation_that_is_seen_is_told(
        plans in proptest::collection::vec(plan(), 1..12),
        turns in proptest::collection::vec(any::<u8>(), 1..80),
        cuts in cuts(0.0),
        client: bool,
    ) {
        let conversation = conversation(&plans, &turns);
        let told = read(&pieces(&conversation, &cuts), 0, client);
        let done = nothing_is_wrong(&told, &conversation);
        prop_assert_eq!(done.len(), plans.len());
        for (truth, finished) in &done {
            is_all(finished, truth);
        }
    }

    #[test]
    fn with_holes_nothing_wrong_is_told(
        plans in proptest::collection::vec(plan(), 1..12),
        turns in proptest::collection::vec(any::<u8>(), 1..80),
        cuts in cuts(0.06),
        client: bool,
    ) {
        let conversation = conversation(&plans, &turns);
        let told = read(&pieces(&conversation, &cuts), 0, client);
        nothing_is_wrong(&told, &conversation);
    }

    #[test]
    fn joined_late_nothing_wrong_is_told(
        plans in proptest::collection::vec(plan(), 2..12),
        turns in proptest::collection::vec(any::<u8>(), 1..80),
        cuts in cuts(0.02),
        late in 1usize..60,
        client: bool,
    ) {
        let conversation = conversation(&plans, &turns);
        let told = read(&pieces(&conversation, &cuts), late, client);
        nothing_is_wrong(&told, &conversation);
    }
}
