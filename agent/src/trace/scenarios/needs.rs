//! What is seen of processes that needs more to be known.

use abi::runtime::Absent;

use super::host::{Host, Request, from_outside, tcp};
use crate::exchange::Asked;
use crate::input::Runtime;
use crate::trace::Need;

/// The process.
const PID: u32 = 7;

/// A call of a process: the `stream`th of HTTP/2, if there is one.
fn call(pid: u32, stream: Option<u32>, method: &str, user_agent: Option<&str>) -> Request {
    let mut call = Request::client(&tcp(1).0, u64::from(stream.unwrap_or(2) + 2 * pid), pid, 0, 1);
    (call.started.stream, call.started.asked) = (stream, Asked::of(method, "/", user_agent));
    call
}

/// What is told of these requests.
fn told(requests: &[Request]) -> Vec<(u32, Need)> {
    let mut host = Host::new();
    requests.iter().for_each(|request| host.start(request));
    host.tracer.needs()
}

#[test]
fn what_grpc_go_writes_needs_nothing_of_others() {
    for (method, user_agent, expected) in [
        ("GET", Some("Go-http-client/2.0"), Some(Need::ClientStreams)),
        ("POST", Some("shop/1 grpc-go/1.76.0"), None),
        ("POST", Some("grpc-go-connect/1.2 (go1.26)"), Some(Need::ClientStreams)),
        ("POST", None, Some(Need::MaybeClientStreams)),
        ("", None, Some(Need::MaybeClientStreams)),
        ("GET", None, Some(Need::ClientStreams)),
    ] {
        let expected: Vec<_> = expected.map(|need| (PID, need)).into_iter().collect();
        assert_eq!(told(&[call(PID, Some(1), method, user_agent)]), expected, "{user_agent:?}");
    }
    assert_eq!(told(&[call(PID, None, "GET", None)]), [], "HTTP/1");
}

#[test]
fn each_is_told_once_and_again_of_another_program() {
    let get = |stream| call(PID, Some(stream), "GET", None);
    let mut served = Request::server(&from_outside(1), 5, PID, 10, 50);
    served.started.stream = Some(1);
    let mut host = Host::new();
    [get(1), get(3), served].iter().for_each(|request| host.start(request));
    assert_eq!(host.tracer.needs(), [(PID, Need::ClientStreams), (PID, Need::ServerStreams)]);
    host.start(&get(5));
    assert_eq!(host.tracer.needs(), []);
    host.tracer.process_began(PID);
    host.start(&get(7));
    assert_eq!(host.tracer.needs(), [(PID, Need::ClientStreams)]);
    host.tracer.process_gone(PID);
    host.start(&get(9));
    assert_eq!(host.tracer.needs(), [(PID, Need::ClientStreams)]);
}

#[test]
fn they_are_bounded() {
    let calls: Vec<_> = (1..10_000).map(|pid| call(pid, Some(1), "GET", None)).collect();
    assert_eq!(told(&calls).len(), 8192);
}

#[test]
fn a_thread_that_serves_nothing_needs_its_queue_to_be_told_of() {
    let mut unwatched = call(PID, None, "GET", None);
    unwatched.started.runtime = Runtime::Absent(Absent::QueueUnwatched);
    assert_eq!(told(&[unwatched]), [(PID, Need::Queues)]);
}

#[test]
fn whoever_is_started_by_a_task_that_is_not_known_needs_to_be_told_of() {
    let mut unknown = call(PID, None, "GET", None);
    unknown.started.runtime = Runtime::Absent(Absent::MakerUnknown);
    let mut nobody = call(PID + 1, None, "GET", None);
    nobody.started.runtime = Runtime::Absent(Absent::NoRequest);
    assert_eq!(told(&[unknown, nobody]), [(PID, Need::Makers)]);
}
