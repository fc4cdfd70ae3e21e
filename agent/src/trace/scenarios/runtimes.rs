//! The rules of runtimes: a parent where the runtime's record proves it and the work ended in time, a reason where not.

use abi::runtime::{Absent, Rule};
use abi::{CHAIN, CallerFound, Worker};

use super::host::{Host, Request, from_outside, tcp};
use crate::exchange::Role;
use crate::input::{Runtime, Waits};
use crate::trace::Count;

/// The process.
const PID: u32 = 1;
/// Keys of two goroutines.
const CHILD: u64 = abi::runtime::task(PID, 100);
const BETWEEN: u64 = abi::runtime::task(PID, 99);

/// A request that is served from 10 to 50 on a socket that does not block.
fn served() -> Request {
    let mut served = Request::server(&from_outside(1), 7, PID, 10, 50);
    served.started.thread_waits = Waits::Otherwise;
    served
}

/// A call of its process by that rule.
fn call(served: &Request, rule: Rule, number: u64, from: u64, to: u64) -> Request {
    let mut call = Request::client(&tcp(number).0, 7, PID, from, to).serving(served).thread(77);
    call.started.runtime = Runtime::Knows { rule, via: None };
    call
}

/// The kernel tells whose work a call is.
fn told(host: &mut Host, call: &Request, chain: &[u64]) {
    let mut tasks = [0; CHAIN];
    tasks[..chain.len()].copy_from_slice(chain);
    let id = call.started.id;
    let (connection, position) = (id.conn.0, id.position);
    host.tracer.worker(&Worker { connection, position, tgid: PID, tasks, ..Worker::default() });
}

#[test]
fn the_goroutine_that_serves_needs_no_thread() {
    let mut host = Host::new();
    let served = served();
    let call = call(&served, Rule::GoHandler, 2, 20, 30);
    host.all(&[&served, &call]);
    host.span(&call).is_child_of(&host, &served, "go-handler");
    assert_eq!(host.span(&call).0.flags, 0x103, "in the same process");
    assert_eq!(host.count(Count::RuntimeParents), 1);
}

#[test]
fn what_it_does_after_the_answer_is_linked() {
    let mut host = Host::new();
    let served = served();
    let late = call(&served, Rule::GoHandler, 2, 60, 70);
    host.all(&[&served, &late]);
    host.span(&late).is_root();
    assert_eq!(host.span(&late).0.links.len(), 1);
    assert_eq!(host.count(Count::RuntimeLinks), 1);
}

#[test]
fn a_context_leads_to_a_parent_but_not_behind_the_answer() {
    for (from, to, is_child) in [(20, 30, true), (60, 70, false)] {
        let mut host = Host::new();
        let served = served();
        let call = call(&served, Rule::GoContext, 2, from, to);
        host.all(&[&served, &call]);
        if is_child {
            host.span(&call).is_child_of(&host, &served, "go-context");
        } else {
            host.span(&call).is_root();
            assert_eq!(host.span(&call).0.links.len(), 0);
            assert_eq!(host.count(Count::RuntimeAfterAnswer), 1);
        }
    }
}

/// A child's call from 20 to `to`, of which `change` decides what is known. Whether it is the request's.
#[track_caller]
fn contained(to: u64, chain: &[u64], change: impl FnOnce(&mut Host, &Request)) -> Option<Count> {
    let mut host = Host::new();
    let served = served();
    let call = call(&served, Rule::GoChild, 2, 20, to);
    if !chain.is_empty() {
        told(&mut host, &call, chain);
    }
    host.start(&served);
    host.start(&call);
    host.end(&call);
    host.end(&served);
    change(&mut host, &served);
    host.tick(2000);
    let reasons = [
        Count::RuntimeOutlived,
        Count::RuntimeUnknownWorker,
        Count::RuntimeAfterAnswer,
        Count::RuntimeTimedOut,
    ];
    let reason = reasons.into_iter().find(|reason| host.count(*reason) > 0);
    match reason {
        None => host.span(&call).is_child_of(&host, &served, "go-child"),
        Some(_) => host.span(&call).is_root(),
    }
    reason
}

#[test]
fn a_child_counts_when_all_of_it_ended_before_the_answer() {
    let ended = |host: &mut Host, _: &Request| host.tracer.tasks_ended(&[CHILD, BETWEEN]);
    assert_eq!(contained(30, &[CHILD], ended), None);
    assert_eq!(contained(30, &[CHILD, BETWEEN], ended), None);
    assert_eq!(contained(50, &[CHILD], ended), None);
    assert_eq!(contained(51, &[CHILD], ended), Some(Count::RuntimeOutlived), "still calling");
    assert_eq!(contained(30, &[], ended), Some(Count::RuntimeUnknownWorker));
    assert_eq!(contained(30, &[CHILD], |_, _| {}), Some(Count::RuntimeOutlived), "still there");
    let one = |host: &mut Host, _: &Request| host.tracer.tasks_ended(&[CHILD]);
    assert_eq!(contained(30, &[CHILD, BETWEEN], one), Some(Count::RuntimeOutlived));
}

/// A call of which nobody knew for whom it is when it was sent, and what is told when its answer comes.
fn found(served: &Request, rule: Rule) -> (Request, CallerFound) {
    let mut call = call(served, rule, 2, 20, 30);
    call.started.runtime = Runtime::Absent(Absent::NobodyWaits);
    let id = call.started.id;
    let told = CallerFound {
        connection: id.conn.0,
        position: id.position,
        serving: served.span(),
        tgid: PID,
        rule: rule as u8,
        via: Rule::GoTransport as u8,
        tasks: if rule == Rule::GoChild { [CHILD, 0, 0] } else { [0; CHAIN] },
        ..CallerFound::default()
    };
    call.started.serving = None;
    (call, told)
}

#[test]
fn who_made_a_call_may_be_found_when_its_answer_comes() {
    for (rule, name) in [(Rule::GoHandler, "go-handler"), (Rule::GoChild, "go-child")] {
        let mut host = Host::new();
        let served = served();
        let (call, told) = found(&served, rule);
        host.start(&served);
        host.start(&call);
        assert_eq!(host.tracer.absences.iter().count(), 1);
        host.tracer.caller_found(&told);
        host.end(&call);
        host.tracer.tasks_ended(&[CHILD]);
        host.end(&served);
        host.tick(2000);
        host.span(&call).is_child_of(&host, &served, name);
        assert_eq!((host.tracer.absences.iter().count(), host.count(Count::RuntimeFound)), (0, 1));
    }
}

#[test]
fn what_is_found_must_have_ended_before_the_answer_too() {
    let mut host = Host::new();
    let served = served();
    let (call, told) = found(&served, Rule::GoChild);
    host.start(&served);
    host.start(&call);
    host.tracer.caller_found(&told);
    host.end(&call);
    host.end(&served);
    host.tick(2000);
    host.span(&call).is_root();
    assert_eq!(host.count(Count::RuntimeOutlived), 1);
}

#[test]
fn what_was_known_or_is_over_is_not_found_anew() {
    let mut host = Host::new();
    let (served, other) = (served(), served());
    let (_, told) = found(&other, Rule::GoHandler);
    let known = call(&served, Rule::GoHandler, 2, 20, 30);
    host.start(&served);
    host.start(&known);
    host.tracer.caller_found(&CallerFound { serving: 1, ..told });
    host.end(&known);
    host.tracer.caller_found(&CallerFound { serving: 1, ..told });
    host.end(&served);
    host.tick(2000);
    host.span(&known).is_child_of(&host, &served, "go-handler");
    assert_eq!(host.count(Count::RuntimeFound), 0);
}

#[test]
fn a_child_that_goes_on_for_others_loses_what_it_did_before() {
    let later = |host: &mut Host, served: &Request| {
        let later = call(served, Rule::GoChild, 3, 60, 70);
        told(host, &later, &[CHILD]);
        host.start(&later);
        host.end(&later);
        host.tracer.tasks_ended(&[CHILD]);
    };
    assert_eq!(contained(30, &[CHILD], later), Some(Count::RuntimeOutlived));
}

/// A call from 20 to 30 by a thread of a pool, for a request that a thread serves from 10 to 50; `change` decides what differs. Why it has
/// no parent, if it has none.
#[track_caller]
fn pooled(ends: bool, change: impl FnOnce(&mut Host, &mut Request, &mut Request)) -> Option<Count> {
    let mut host = Host::new();
    let mut served = Request::server(&from_outside(1), 7, PID, 10, 50);
    let mut call = call(&served, Rule::PythonPool, 2, 20, 30);
    change(&mut host, &mut served, &mut call);
    told(&mut host, &call, &[CHILD]);
    host.start(&served);
    host.start(&call);
    host.end(&call);
    if ends {
        host.tracer.tasks_ended(&[CHILD]);
    }
    host.end(&served);
    host.tick(2000);
    let reasons = [
        Count::RuntimeOutlived,
        Count::ThreadNotWaiting,
        Count::ThreadRevoked,
        Count::ThreadOtherThread,
    ];
    let reason = reasons.into_iter().find(|reason| host.count(*reason) > 0);
    match reason {
        None => host.span(&call).is_child_of(&host, &served, "python-pool"),
        Some(_) => host.span(&call).is_root(),
    }
    reason
}

#[test]
fn a_pool_works_for_what_a_thread_serves() {
    assert_eq!(pooled(true, |_, _, _| {}), None);
    assert_eq!(pooled(false, |_, _, _| {}), Some(Count::RuntimeOutlived), "it goes on");
    let long =
        pooled(true, |_, _, call| call.finished.end = crate::input::Nanos(51 * super::host::MS));
    assert_eq!(long, Some(Count::RuntimeOutlived), "longer than the answer");
}

#[test]
fn a_pool_works_for_nothing_that_no_thread_serves() {
    let by_loop = pooled(true, |_, served, _| served.started.thread_waits = Waits::Otherwise);
    assert_eq!(by_loop, Some(Count::ThreadNotWaiting));
    assert_eq!(pooled(true, |host, _, _| host.tracer.revoked(PID)), Some(Count::ThreadRevoked));
    let by_another = pooled(true, |_, served, _| {
        let by = served.finished.answered_by;
        served.finished.answered_by = by.map(|task| crate::input::Task { tid: 9, ..task });
    });
    assert_eq!(by_another, Some(Count::ThreadOtherThread));
}

#[test]
fn pipelined_requests_are_nobodys_parents() {
    for read in [10, 20] {
        let mut host = Host::new();
        let served = served();
        let mut next = served.clone();
        next.started.id.position = 100;
        next.finished.id.position = 100;
        next.started.at = crate::input::Nanos(read * super::host::MS);
        let call = call(&served, Rule::GoHandler, 2, 20, 30);
        host.all(&[&served, &next, &call]);
        host.span(&call).is_root();
        assert_eq!(host.count(Count::RuntimeOvertaken), 1, "{:?}", host.counted());
    }
}

#[test]
fn reasons_are_counted_for_each_process() {
    let mut host = Host::new();
    let mut call = Request::new(Role::Client, &tcp(2).0, 7, PID, 20, 30);
    call.started.runtime = Runtime::Absent(Absent::Receives);
    host.all(&[&call]);
    host.span(&call).is_root();
    let absences: Vec<_> = host.tracer.absences().map(|(pid, _, why, n)| (pid, why, n)).collect();
    assert_eq!(absences, [(PID, "receives_work", 1)]);
}

#[test]
fn what_is_told_of_calls_that_never_come_is_forgotten() {
    let mut host = Host::new();
    let served = served();
    for number in 0..20_000 {
        let mut lost = call(&served, Rule::GoChild, 2, 20, 30);
        lost.started.id.position = number;
        told(&mut host, &lost, &[CHILD]);
    }
    assert!(host.tracer.workers.kept() <= 8192);
}
