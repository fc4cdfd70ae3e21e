//! Health checks left out whole, routes in names, and requests shown while they last.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::host::{Host, MS, Request, from_outside, tcp};
use crate::exchange::{Asked, Call, Role};
use crate::trace::{Active, CheckRule, Count, RouteRule, RouteSettings, Settings};

const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A request for that path, by that agent.
fn asking(request: Request, path: &str, agent: Option<&str>) -> Request {
    let mut request = request;
    request.started.asked = Asked::of("GET", path, agent);
    let Call::Http(http) = &mut request.finished.call else { panic!("HTTP") };
    http.target = Some(path.to_owned());
    request
}

/// A check from outside, and what the service asks another one for it.
fn check() -> [Request; 3] {
    let served =
        asking(Request::server(&from_outside(1), 0, 1, 10, 50), "/ready", Some("kube-probe/1.31"));
    let (client, server) = tcp(2);
    let asks = asking(Request::client(&client, 0, 1, 20, 40), "/ping", None).serving(&served);
    let answers = asking(Request::server(&server, 0, 2, 25, 35), "/ping", None);
    [served, asks, answers]
}

#[test]
fn a_check_is_left_out_with_all_it_causes() {
    let mut host = Host::new();
    let [served, asks, answers] = check();
    host.all(&[&served, &asks, &answers]);
    assert!(host.spans.is_empty());
    assert_eq!(host.count(Count::Checks), 1);
    assert_eq!(host.count(Count::NotSampled), 2);
}

#[test]
fn both_ends_of_a_check_on_this_host_are_left_out() {
    let mut host = Host::new();
    let (client, server) = tcp(1);
    let asks = asking(Request::client(&client, 0, 1, 10, 50), "/healthz", None);
    let answers = asking(Request::server(&server, 0, 2, 20, 40), "/healthz", None);
    host.all(&[&asks, &answers]);
    assert!(host.spans.is_empty());
    assert_eq!((host.count(Count::Checks), host.count(Count::NotSampled)), (1, 1));
}

#[test]
fn what_belongs_to_a_trace_is_no_check() {
    let mut host = Host::new();
    let probe = asking(Request::server(&from_outside(1), 0, 1, 10, 50), "/healthz", None);
    let traced = probe.traceparent(HEADER);
    let served = Request::server(&from_outside(2), 0, 2, 10, 50);
    let asks = asking(Request::client(&tcp(3).0, 0, 2, 20, 40), "/healthz", None).serving(&served);
    host.all(&[&traced, &served, &asks]);
    assert_eq!(host.spans.len(), 3);
    host.span(&asks).is_child_of(&host, &served, "thread");
    assert_eq!(host.count(Count::Checks), 0);
}

#[test]
fn the_rules_are_the_users() {
    let mut host = Host::with(Settings { checks: Vec::new(), ..Settings::default() });
    let [served, asks, answers] = check();
    host.all(&[&served, &asks, &answers]);
    assert_eq!(host.spans.len(), 3);
    let own = CheckRule { path: Some("/ready".into()), ..CheckRule::default() };
    let mut host = Host::with(Settings { checks: vec![own], ..Settings::default() });
    host.all(&[&asking(served, "/ready", None)]);
    assert_eq!(host.count(Count::Checks), 1);
}

#[test]
fn a_route_is_in_a_servers_name_and_marked() {
    let rule = RouteRule { path: "/stock/{item}".into(), ..RouteRule::default() };
    let routes = RouteSettings { rules: vec![rule], ..RouteSettings::default() };
    let mut host = Host::with(Settings { routes, ..Settings::default() });
    let (client, server) = tcp(1);
    let ruled = asking(Request::server(&server, 0, 1, 10, 20), "/stock/cup?x=1", None);
    let learned = asking(Request::server(&server, 100, 1, 30, 40), "/login/7", None);
    let unsure = asking(Request::server(&server, 200, 1, 50, 60), "/cups/blue", None);
    let asks = asking(Request::client(&client, 300, 2, 70, 80), "/login", None);
    host.all(&[&ruled, &learned, &unsure, &asks]);
    let text = |request: &Request, key: &str| {
        let span = host.span(request);
        let found = span.0.attributes.iter().find(|attribute| attribute.key == key)?;
        match found.value.clone()?.value? {
            Value::StringValue(text) => Some(text),
            other => panic!("{other:?}"),
        }
    };
    for (request, name, route, source) in [
        (&ruled, "GET /stock/{item}", Some("/stock/{item}"), Some("rule")),
        (&learned, "GET /login/{id}", Some("/login/{id}"), Some("learned")),
        (&unsure, "GET", None, None),
        (&asks, "GET", None, None),
    ] {
        assert_eq!(host.span(request).0.name, name);
        assert_eq!(text(request, "http.route").as_deref(), route);
        assert_eq!(text(request, "spanwire.http.route.source").as_deref(), source);
    }
}

#[test]
fn what_is_open_for_a_minute_is_shown_until_its_end() {
    let mut host = Host::new();
    let stream =
        asking(Request::server(&from_outside(1), 0, 1, 10, 90_000), "/events?token=x", None);
    let short = Request::client(&tcp(2).0, 0, 2, 20, 30);
    let young = Request::server(&from_outside(3), 0, 3, 30_000, 95_000);
    host.start(&stream);
    host.start(&short);
    host.end(&short);
    host.tick(60_000);
    let active = host.tracer.active(10);
    assert_eq!((active.count, active.oldest.len()), (0, 1), "shown, but not yet a minute");
    host.start(&young);
    host.tick(61_000);
    let active = host.tracer.active(10);
    assert_eq!(active.count, 1);
    let [shown, _] = active.oldest.as_slice() else { panic!("{active:?}") };
    assert_eq!((shown.service.as_str(), shown.pid, &*shown.kind), ("service1", 1, "server"));
    assert_eq!((shown.method.as_str(), shown.path.as_str()), ("GET", "/events"));
    assert_eq!(shown.open_ns, (61_000 - 10) * MS);
    assert_eq!((&shown.trace, &shown.parent), (&None, &None), "no call of it has ended");
    host.tick(90_001);
    assert_eq!(host.tracer.active(1).count, 2);
    assert_eq!(host.tracer.active(1).oldest.len(), 1);
    host.end(&stream);
    assert_eq!(host.tracer.active(10).count, 1);
    host.end(&young);
    host.wait(1000);
    assert_eq!(host.tracer.active(10), Active::default());
    assert_eq!(host.span(&stream).0.kind, 2, "a span at its end");
    assert_eq!(stream.started.role, Role::Server);
    // It is the span that it was shown as.
    let span = &host.span(&stream).0;
    let id = span.span_id.as_slice().try_into().map(u64::from_be_bytes).unwrap();
    assert_eq!(shown.span, format!("{id:016x}"));
    assert_eq!(shown.start, span.start_time_unix_nano);
}
