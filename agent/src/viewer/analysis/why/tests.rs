//! Reasons as they are told.

use super::*;
use crate::viewer::analysis::{critical_path, pairs};
use crate::viewer::sample::{Sample, checkout};
use crate::viewer::span::Kind::{Client, Server};

/// Kind, short form, clause.
type Told = Option<(WhyKind, String, String)>;

fn reasons(sample: Sample) -> (Told, Told) {
    let trace = sample.trace();
    let tree = Tree::of(&trace);
    let root = tree.root().unwrap();
    let path = critical_path(&trace, &tree, root);
    let why = why(&trace, &tree, &pairs(&trace, &tree), root, &path);
    let told = |reason: Reason| {
        let clause = reason.clause.iter().map(|part| part.text.as_str()).collect();
        (reason.kind, reason.short, clause)
    };
    (why.failed.map(told), why.time.map(told))
}

fn told(reason: Told) -> (WhyKind, String) {
    let (kind, _, clause) = reason.expect("a reason");
    (kind, clause)
}

#[test]
fn the_deepest_failure_is_the_cause() {
    let (failed, time) = reasons(checkout(1));
    let (kind, short, clause) = failed.expect("it failed");
    assert_eq!(kind, WhyKind::Retried);
    assert_eq!(short, "payments: api.cardpay.example answered 503, also on retry");
    assert_eq!(clause, "api.cardpay.example answered 503 to payments twice");
    assert_eq!(told(time), (WhyKind::Repeats, "inventory ran SELECT stock 10 times".to_owned()));
}

#[test]
fn where_the_time_went_is_told_by_the_first_that_fits() {
    let inside = Sample::new(1).span((1, 0), Server, ("auth", "POST /login"), (0, 100), &[]).span(
        (2, 1),
        Client,
        ("auth", "GET x"),
        (10, 18),
        &[("server.address", "redis")],
    );
    let (failed, time) = reasons(inside);
    assert_eq!(failed, None);
    assert_eq!(told(time), (WhyKind::Inside, "92% of the time went by inside auth".to_owned()));

    let peer = Sample::new(1).span((1, 0), Server, ("shop", "GET /"), (0, 100), &[]).span(
        (2, 1),
        Client,
        ("shop", "SELECT"),
        (0, 60),
        &[("db.system.name", "mysql")],
    );
    assert_eq!(
        told(reasons(peer).1),
        (WhyKind::Peer, "shop waited for mysql 60% of the time".to_owned())
    );

    let network = Sample::new(1)
        .span((1, 0), Server, ("a", "GET /"), (0, 100), &[])
        .span((2, 1), Client, ("a", "GET"), (30, 100), &[])
        .span((3, 2), Server, ("b", "GET"), (60, 90), &[]);
    assert_eq!(told(reasons(network).1).0, WhyKind::Network);

    let error = [("error.type", "timeout")];
    let waiting = Sample::new(1)
        .span((1, 0), Server, ("a", "GET /"), (0, 100), &[])
        .span((2, 1), Client, ("a", "Charge"), (0, 32), &error)
        .span((3, 2), Server, ("b", "Charge"), (0, 32), &error)
        .span((4, 1), Client, ("a", "Charge"), (68, 100), &[])
        .span((5, 4), Server, ("b", "Charge"), (68, 100), &[]);
    // b's own 64% would come first, were it not two spans of 32%: it does.
    assert_eq!(told(reasons(waiting).1).0, WhyKind::Inside);
}

#[test]
fn transport_errors_are_said_in_words() {
    let error = [("error.type", "timeout"), ("server.address", "billing.example")];
    let sample = Sample::new(1)
        .span((1, 0), Server, ("edge", "GET /"), (0, 3000), &[("error.type", "504")])
        .span((2, 1), Client, ("edge", "GET"), (1, 2999), &error);
    let (kind, short, clause) = reasons(sample).0.expect("it failed");
    assert_eq!(kind, WhyKind::TimedOut);
    assert_eq!(short, "edge: billing.example timed out");
    assert_eq!(clause, "edge's call to billing.example timed out");
}
