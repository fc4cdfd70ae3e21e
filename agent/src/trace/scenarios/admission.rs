//! What is left out: by the operator's rules, and because a process traces itself.

use abi::{Family, Opened};

use super::host::{Host, Request, facts, from_outside, tcp};
use crate::exchange::{Call, Role};
use crate::selection::{Action, Conditions, Pattern, Ports, Rule, Selection};
use crate::service::ProcessFacts;
use crate::trace::{Count, Sampler, Settings, Share};

const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const PARENT: u64 = 0x00f0_67aa_0ba9_02b7;

fn exclude(name: &str, executable: &str) -> Rule {
    let conditions =
        Conditions { executable: vec![Pattern::new(executable).unwrap()], ..Conditions::default() };
    Rule { name: name.into(), action: Action::Exclude, conditions }
}

fn host(rules: Vec<Rule>) -> Host {
    Host::with(Settings { selection: Selection::new(rules), ..Settings::default() })
}

fn left_out(host: &Host) -> Vec<(&str, u64)> {
    host.tracer.left_out().collect()
}

/// Both ends of one request over TCP: process 1 asks process 2.
fn both(number: u64) -> (Request, Request) {
    let (client, server) = tcp(number);
    (Request::client(&client, 7, 1, 10, 40), Request::server(&server, 7, 2, 20, 30))
}

/// A client's POST of spans from process `pid`, answered.
fn export(number: u64, pid: u32) -> Request {
    posted(Request::client(&tcp(number).0, 7, pid, 10, 40))
}

fn posted(mut request: Request) -> Request {
    let Call::Http(call) = &mut request.finished.call else { panic!("HTTP") };
    call.method = Some("POST".into());
    call.target = Some("/v1/traces".into());
    request
}

#[test]
fn an_excluded_process_has_no_spans_and_others_go_on() {
    let mut host = host(vec![exclude("noise", "service1")]);
    let (asks, serves) = both(1);
    host.all(&[&asks, &serves]);
    assert!(!host.has(&asks));
    host.span(&serves).is_root();
    assert_eq!(host.count(Count::NotSelected), 1);
    assert_eq!(host.count(Count::EndWithoutStart), 0);
    assert_eq!(left_out(&host), [("noise", 1)]);
    assert_eq!((host.tracer.left_out_by(1), host.tracer.left_out_by(2)), (Some(0), None));
}

#[test]
fn what_an_excluded_server_asks_in_turn_is_left_out_with_it() {
    let mut host = host(vec![exclude("noise", "service2")]);
    let serves = Request::server(&from_outside(1), 7, 2, 10, 40);
    let asks = Request::client(&tcp(2).0, 7, 2, 20, 30).serving(&serves);
    host.all(&[&serves, &asks]);
    assert!(host.spans.is_empty());
    assert_eq!(left_out(&host), [("noise", 2)]);
}

#[test]
fn a_port_is_the_servers_at_both_ends() {
    let conditions =
        Conditions { ports: Some(Ports::new(vec![8080..=8080])), ..Conditions::default() };
    let mut host =
        host(vec![Rule { name: "http-alt".into(), action: Action::Exclude, conditions }]);
    let (asks, serves) = both(1);
    let elsewhere = Request::server(&from_outside(2), 7, 2, 10, 40);
    host.all(&[&asks, &serves, &elsewhere]);
    assert_eq!(host.spans.len(), 1);
    assert!(host.has(&elsewhere));
    assert_eq!(host.tracer.left_out_by(2), None);
}

#[test]
fn rules_change_while_it_runs_and_counts_stay() {
    let mut host = host(vec![exclude("noise", "service1")]);
    let (first, _) = both(1);
    host.all(&[&first]);
    host.tracer.select(Selection::new(vec![exclude("other", "service2")]), Sampler::default());
    let (second, serves) = both(2);
    host.all(&[&second, &serves]);
    assert!(host.has(&second) && !host.has(&serves));
    assert_eq!(left_out(&host), [("noise", 1), ("other", 1)]);
    host.tracer.select(Selection::default(), Sampler::default());
    let (_, third) = both(3);
    host.all(&[&third]);
    assert!(host.has(&third));
}

#[test]
fn a_share_of_a_services_traces_is_kept_whole() {
    let share = Share::ratio(0.5);
    let rule = Rule {
        name: "half".into(),
        action: Action::Include { share },
        conditions: Conditions::default(),
    };
    let mut host = host(vec![rule]);
    for number in 1..=200 {
        let (asks, serves) = both(number);
        host.all(&[&asks, &serves]);
        assert_eq!(host.has(&asks), host.has(&serves), "both ends or none");
    }
    // Six standard deviations of 200 throws.
    assert!((58..=142).contains(&(host.spans.len() / 2)), "{}", host.spans.len());
    assert_eq!(host.count(Count::NotSampled) as usize, 400 - host.spans.len());
    assert!(host.spans.iter().all(|span| span.span.trace_state == "ot=th:8"));
}

#[test]
fn who_exports_spans_is_left_alone_from_then_on() {
    let mut host = Host::new();
    host.all(&[&export(1, 1)]);
    assert!(host.spans.is_empty());
    let (asks, serves) = both(2);
    let (asks, serves) = (asks.traceparent(HEADER), serves.traceparent(HEADER));
    host.all(&[&asks, &serves]);
    assert!(!host.has(&asks));
    // The SDK's span is the parent: one trace, nothing doubled.
    assert_eq!(host.span(&serves).parent(), Some(PARENT));
    assert_eq!(host.span(&serves).rule(), Some("traceparent"));
    assert_eq!(host.count(Count::SdkTraffic), 2);
}

#[test]
fn a_span_that_waits_when_its_process_exports_is_taken_back() {
    let mut host = Host::new();
    let (asks, serves) = both(2);
    let (asks, serves) = (asks.traceparent(HEADER), serves.traceparent(HEADER));
    host.start(&asks);
    host.start(&serves);
    host.end(&serves);
    host.end(&asks);
    host.all(&[&export(1, 1)]);
    assert!(!host.has(&asks));
    assert_eq!(host.span(&serves).parent(), Some(PARENT));
}

#[test]
fn who_hands_spans_on_is_traced() {
    let mut host = Host::new();
    host.all(&[&posted(Request::server(&from_outside(1), 7, 1, 5, 45)), &export(2, 1)]);
    let (asks, _) = both(3);
    host.all(&[&asks]);
    assert!(host.has(&asks));
}

#[test]
fn an_sdk_is_known_by_its_command_line_or_by_where_it_connects() {
    let mut host = Host::new();
    let agent = "-javaagent:/opt/opentelemetry-javaagent.jar";
    host.tracer.process(ProcessFacts {
        start_ticks: 1000,
        arguments: ["java", agent, "-jar", "a.jar"].map(str::to_owned).to_vec(),
        ..facts(1)
    });
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), "http://c:4317".to_owned());
    host.tracer.process(ProcessFacts { start_ticks: 1000, otel: vec![endpoint], ..facts(2) });
    let request = |number, pid| Request::new(Role::Server, &from_outside(number), 7, pid, 10, 20);
    host.all(&[&request(1, 1), &request(2, 2)]);
    // Variables alone are inherited by anybody.
    assert!(!host.has(&request(1, 1)) && host.has(&request(2, 2)));
    let connect = |tgid, port| Opened {
        family: Family::Inet as u16,
        remote_port: port,
        tgid,
        ..Opened::default()
    };
    host.tracer.opened(&connect(2, 4318));
    host.tracer.opened(&connect(3, 4317));
    host.all(&[&request(3, 2), &request(4, 3)]);
    assert!(host.has(&request(3, 2)) && host.has(&request(4, 3)));
    host.tracer.opened(&connect(2, 4317));
    host.all(&[&request(5, 2)]);
    assert!(!host.has(&request(5, 2)));
    // Another process by the same pid knows nothing of it.
    host.tracer.process(ProcessFacts { start_ticks: 2000, ..facts(2) });
    host.all(&[&request(6, 2)]);
    assert!(host.has(&request(6, 2)));
}
