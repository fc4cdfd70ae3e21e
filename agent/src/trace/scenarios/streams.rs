//! Streams of HTTP/2 whose tasks a runtime tells by their numbers: whenever it does, and however many share a connection.

use abi::runtime::{Absent, Rule};
use abi::{CHAIN, StreamCall};

use super::host::{Host, Request, SEED, from_outside, tcp};
use crate::input::{Runtime, Waits};
use crate::trace::Count;

/// The process.
const PID: u32 = 1;
/// A goroutine's key.
const CHILD: u64 = abi::runtime::task(PID, 100);

/// A stream that is served from 10 to 50, on a connection that all of them share.
fn served(stream: u32) -> Request {
    let mut served = Request::server(&from_outside(1), u64::from(stream), PID, 10, 50);
    served.started.stream = Some(stream);
    served.started.thread_waits = Waits::Otherwise;
    served
}

/// A stream that the process opens.
fn opened(stream: u32) -> Request {
    let mut opened = Request::client(&tcp(2).0, u64::from(stream), PID, 20, 30).thread(77);
    opened.started.stream = Some(stream);
    opened
}

/// The kernel tells for whom a stream was opened.
fn told(opened: &Request, served: &Request, rule: Rule, chain: &[u64]) -> StreamCall {
    let mut tasks = [0; CHAIN];
    tasks[..chain.len()].copy_from_slice(chain);
    StreamCall {
        connection: opened.started.id.conn.0,
        stream: opened.started.stream.unwrap(),
        tgid: PID,
        serving: abi::id::stream(SEED, served.started.id.conn.0, served.started.stream.unwrap()),
        rule: rule as u8,
        via: Rule::GoGrpc as u8,
        tasks,
        ..StreamCall::default()
    }
}

#[test]
fn it_may_be_told_before_the_first_frame_and_after() {
    for before in [true, false] {
        let mut host = Host::new();
        let (others, served, opened) = (served(3), served(5), opened(7));
        let call = told(&opened, &served, Rule::GoHandler, &[]);
        host.start(&others);
        host.start(&served);
        if before {
            host.tracer.stream_call(&call);
            host.start(&opened);
        } else {
            host.start(&opened);
            host.tracer.stream_call(&call);
        }
        [&opened, &served, &others].into_iter().for_each(|each| host.end(each));
        host.tick(2000);
        host.span(&opened).is_child_of(&host, &served, "go-handler");
        let via =
            host.span(&opened).0.attributes.iter().any(|each| each.key == "spanwire.link.via");
        assert!(via);
    }
}

#[test]
fn what_is_told_after_the_end_changes_nothing() {
    let mut host = Host::new();
    let (served, opened) = (served(5), opened(7));
    host.all(&[&served, &opened]);
    host.tracer.stream_call(&told(&opened, &served, Rule::GoHandler, &[]));
    host.tick(4000);
    host.span(&opened).is_root();
}

#[test]
fn what_comes_behind_an_answer_is_not_even_linked() {
    let mut host = Host::new();
    let served = served(5);
    let mut late = Request::client(&tcp(2).0, 7, PID, 60, 70).thread(77);
    late.started.stream = Some(7);
    host.tracer.stream_call(&told(&late, &served, Rule::GoHandler, &[]));
    host.all(&[&served, &late]);
    host.span(&late).is_root();
    assert_eq!(host.span(&late).0.links.len(), 0);
    assert_eq!(host.count(Count::RuntimeAfterAnswer), 1);
}

#[test]
fn a_child_must_have_ended() {
    for ends in [true, false] {
        let mut host = Host::new();
        let (served, opened) = (served(5), opened(7));
        host.tracer.stream_call(&told(&opened, &served, Rule::GoChild, &[CHILD]));
        host.start(&served);
        host.start(&opened);
        host.end(&opened);
        if ends {
            host.tracer.tasks_ended(&[CHILD]);
        }
        host.end(&served);
        host.tick(2000);
        if ends {
            host.span(&opened).is_child_of(&host, &served, "go-child");
        } else {
            host.span(&opened).is_root();
            assert_eq!(host.count(Count::RuntimeOutlived), 1);
        }
    }
}

#[test]
fn a_stream_that_is_opened_for_nobody_has_no_parent_and_a_reason() {
    let mut host = Host::new();
    let (served, opened) = (served(5), opened(7));
    let mut nobody = told(&opened, &served, Rule::GoHandler, &[]);
    (nobody.rule, nobody.serving, nobody.absent) = (0, 0, Absent::NoRequest as u8);
    assert_eq!(Runtime::of_stream(&nobody), Runtime::Absent(Absent::NoRequest));
    host.tracer.stream_call(&nobody);
    host.all(&[&served, &opened]);
    host.span(&opened).is_root();
    let reasons: Vec<_> =
        host.tracer.absences().map(|(pid, _, why, many)| (pid, why, many)).collect();
    assert_eq!(reasons, [(PID, Absent::NoRequest.name(), 1)]);
}

#[test]
fn a_stream_that_nobody_tells_of_has_a_reason_once_it_is_over() {
    let not_told = Runtime::Absent(Absent::NotTold);
    let reasons = |host: &Host| -> Vec<_> {
        host.tracer.absences().map(|(pid, _, why, many)| (pid, why, many)).collect()
    };
    let mut host = Host::new();
    let (served, mut late, mut never) = (served(5), opened(7), opened(9));
    (late.started.runtime, never.started.runtime) = (not_told, not_told);
    [&served, &late, &never].into_iter().for_each(|each| host.start(each));
    host.tracer.stream_call(&told(&late, &served, Rule::GoHandler, &[]));
    assert_eq!(reasons(&host), []);
    [&late, &never, &served].into_iter().for_each(|each| host.end(each));
    host.tick(2000);
    host.span(&late).is_child_of(&host, &served, "go-handler");
    host.span(&never).is_root();
    assert_eq!(reasons(&host), [(PID, Absent::NotTold.name(), 1)]);
}
