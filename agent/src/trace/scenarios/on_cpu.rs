//! The time that a thread was on a CPU: told where it was for this request alone, and nowhere else.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::host::{Host, MS, Request, from_outside};
use crate::exchange::OnCpu;
use crate::input::Waits;

/// A request of 30 ms, of which its thread was on a CPU for 7, as the kernel says.
fn served(number: u64) -> Request {
    let mut request = Request::server(&from_outside(number), 7, 1, 10, 40);
    request.finished.on_cpu = Some(OnCpu { since: request.span(), nanos: 7 * MS });
    request
}

fn told(host: &Host, request: &Request) -> Option<i64> {
    let attributes = &host.span(request).0.attributes;
    let found = attributes.iter().find(|of| of.key == "spanwire.thread.cpu_time_ns")?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::IntValue(nanos) => Some(*nanos),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_told(change: impl Fn(&mut Host, &mut Request), expected: Option<i64>) {
    let mut host = Host::new();
    let mut request = served(1);
    change(&mut host, &mut request);
    host.all(&[&request]);
    assert_eq!(told(&host, &request), expected);
}

#[test]
fn it_is_told_of_a_thread_that_served_one_request() {
    is_told(|_, _| {}, Some(7_000_000));
    // Never more than all of it: the clocks of scheduler and span are two.
    let longer = |request: &mut Request, nanos| {
        request.finished.on_cpu = Some(OnCpu { since: request.span(), nanos });
    };
    is_told(|_, request| longer(request, 31 * MS), Some(30_000_000));
}

#[test]
fn it_is_not_told_where_it_may_be_of_something_else() {
    is_told(|_, request| request.finished.on_cpu = None, None);
    // The kernel took something later for a request.
    let other = Some(OnCpu { since: 4711, nanos: MS });
    is_told(|_, request| request.finished.on_cpu = other, None);
    is_told(|_, request| request.started.thread_waits = Waits::Otherwise, None);
    is_told(|_, request| request.finished.answered_by = None, None);
    is_told(|_, request| request.started.task.tid = 9, None);
    is_told(|host, _| host.tracer.revoked(1), None);
}

#[test]
fn it_is_not_told_of_requests_that_one_thread_had_at_once() {
    let mut host = Host::new();
    let (one, two) = (served(1), served(2));
    host.all(&[&one, &two]);
    assert_eq!((told(&host, &one), told(&host, &two)), (None, None));
}
