//! Real backends, asked through their own interfaces: what one of them lost its process over, or was away for, is stored
//! once it is back. Sent is what is stored and what is counted as lost, to the span.
//!
//! A backend confirms here only what it has stored, so that what it confirmed and then forgot is no excuse for us.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tests::agent::{Agent, Counters, Setup, Stopped};
use tests::listening::free_port;
use tests::otlp::{Kind, Span, Spans};
use tests::outcome::TestResult;
use tests::peer::{Connection, Target};
use tests::programs::backend::Backend;
use tests::programs::collector::Collector;
use tests::programs::jaeger::{Jaeger, Storage};
use tests::programs::zipkin::{Zipkin, ZipkinSpan};
use tests::programs::{Server, python};
use tests::runner::Suite;
use tests::tour::TOUR;
use tests::wait::{self, Deadline};

use crate::programs::take_tour;

/// Time between two requests of the load.
const BEAT: Duration = Duration::from_millis(3);

/// Requests that are made at least while a backend is away.
const MISSED: usize = 200;

/// The server that is asked, and we who ask.
const SERVED: &str = "behind-load";
const OURSELVES: &str = "e2e";

/// How long it may take until everything is stored once the backend is back.
const ARRIVAL: u64 = 30;

pub(crate) fn add(suite: &mut Suite) {
    suite.test("backends::jaeger_is_killed_under_load[grpc]", || jaeger_killed("grpc"));
    suite.test("backends::jaeger_is_killed_under_load[http]", || jaeger_killed("http/protobuf"));
    suite.test("backends::a_collector_is_killed_under_load", collector_killed);
    suite.test("backends::the_spool_bridges_an_outage_and_a_restart", spooled);
    suite.slow("backends::zipkin_behind_a_collector", 90, zipkin);
    suite.test("backends::tail_sampling_in_two_tiers_and_span_metrics", tiers);
}

fn jaeger_killed(protocol: &'static str) -> TestResult {
    let mut jaeger = Jaeger::with(Storage::Disk)?;
    let port = if protocol == "grpc" { jaeger.grpc } else { jaeger.http };
    let mut agent =
        Setup::default().endpoint(format!("http://127.0.0.1:{port}"), protocol).start()?;
    let load = Load::new()?;
    load.goes_on_while(|| {
        some_stored(&jaeger)?;
        outage(&load, &mut agent, &mut jaeger.backend)
    })?;
    all_stored(&load, &jaeger)?;
    let stopped = agent.stop()?;
    add_up(&load, &jaeger.spans(SERVED)?, &[stopped])
}

/// The Collector confirms what Jaeger has confirmed to it.
fn collector_killed() -> TestResult {
    let jaeger = Jaeger::with(Storage::Disk)?;
    let port = free_port()?;
    let mut collector = Collector::start(
        &format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\nexporters: {}\n\
             service:\n  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp]}}}}\n",
            otlp(jaeger.grpc)
        ),
        vec![port],
    )?;
    let mut agent =
        Setup::default().endpoint(format!("http://127.0.0.1:{port}"), "grpc").start()?;
    let load = Load::new()?;
    load.goes_on_while(|| {
        some_stored(&jaeger)?;
        outage(&load, &mut agent, &mut collector.backend)
    })?;
    all_stored(&load, &jaeger)?;
    let stopped = agent.stop()?;
    add_up(&load, &jaeger.spans(SERVED)?, &[stopped])
}

/// The backend goes under load, and before it is back the agent is another one.
fn spooled() -> TestResult {
    let folder = tempfile::tempdir()?;
    let spool = folder.path().join("spool").display().to_string();
    let mut jaeger = Jaeger::with(Storage::Disk)?;
    let setup = || {
        Setup::default()
            .endpoint(format!("http://127.0.0.1:{}", jaeger.http), "http/protobuf")
            .environment("SPANWIRE_SPOOL_DIRECTORY", &spool)
    };
    let (first, second) = (setup(), setup());
    let mut agent = first.start()?;
    let load = Load::new()?;
    load.goes_on_while(|| {
        some_stored(&jaeger)?;
        jaeger.backend.kill();
        agent.wait_line(FAILED, Deadline::seconds(20))?;
        load.wait_for(MISSED)
    })?;
    let before = agent.stop()?;
    let kept = before.counters.value("export.spans_spooled")?;
    ensure!(kept > 0, "nothing was spooled");
    let mut agent = second.start()?;
    load.goes_on_while(|| {
        agent.wait_line(FAILED, Deadline::seconds(20))?;
        jaeger.backend.restart()?;
        agent.wait_line(WORKS, Deadline::seconds(ARRIVAL)).map(drop)
    })?;
    all_stored(&load, &jaeger)?;
    let after = agent.stop()?;
    ensure!(after.counters.value("export.spans_recovered")? == kept);
    add_up(&load, &jaeger.spans(SERVED)?, &[before, after])
}

/// Kills it in the middle of the load, which goes on, and starts it again.
fn outage(load: &Load, agent: &mut Agent, backend: &mut Backend) -> TestResult {
    backend.kill();
    agent.wait_line(FAILED, Deadline::seconds(20))?;
    load.wait_for(MISSED)?;
    backend.restart()?;
    agent.wait_line(WORKS, Deadline::seconds(ARRIVAL))?;
    Ok(())
}

/// What the agent says when its backend is away, and when it is back.
const FAILED: &str = "failed, trying again";
const WORKS: &str = "works again";

/// An exporter that confirms only what was confirmed to it.
fn otlp(port: u16) -> String {
    format!(
        "{{otlp: {{endpoint: '127.0.0.1:{port}', tls: {{insecure: true}}, sending_queue: {{enabled: false}}, \
         retry_on_failure: {{enabled: false}}}}}}"
    )
}

/// Requests with numbers, and how many there were.
struct Load {
    server: Server,
    asked: AtomicUsize,
}

impl Load {
    fn new() -> anyhow::Result<Self> {
        let server = python::tour_server(SERVED, [127, 0, 0, 1].into())?;
        Ok(Self { server, asked: AtomicUsize::new(0) })
    }

    /// So many more.
    fn ask(&self, count: usize) -> TestResult {
        let mut connection = Connection::open(&self.server.target)?;
        (0..count).try_for_each(|_| self.ask_one(&mut connection))
    }

    /// Asks all the time while something is done.
    fn goes_on_while(&self, act: impl FnOnce() -> TestResult) -> TestResult {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asks = scope.spawn(|| {
                let mut connection = Connection::open(&self.server.target)?;
                while !done.load(Ordering::Relaxed) {
                    self.ask_one(&mut connection)?;
                    wait::pace(BEAT);
                }
                anyhow::Ok(())
            });
            let acted = act();
            done.store(true, Ordering::Relaxed);
            asks.join().expect("a client does not panic")?;
            acted
        })
    }

    fn ask_one(&self, connection: &mut Connection) -> TestResult {
        let number = self.asked();
        ensure!(connection.get(&format!("/hello?n={number}"))?.body == b"hello\n");
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Waits until so many more were answered.
    fn wait_for(&self, count: usize) -> TestResult {
        let wanted = self.asked() + count;
        let enough = || (self.asked() >= wanted).then_some(());
        wait::until("requests", Deadline::seconds(20), enough)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Waits until Jaeger has some of it.
fn some_stored(jaeger: &Jaeger) -> TestResult {
    wait::until("spans in Jaeger", Deadline::seconds(ARRIVAL), || {
        jaeger.spans(SERVED).map(|spans| (!spans.is_empty()).then_some(())).transpose()
    })?
}

/// Waits until both spans of every request are there.
fn all_stored(load: &Load, jaeger: &Jaeger) -> TestResult {
    wait::until("all spans in Jaeger", Deadline::seconds(ARRIVAL), || {
        let whole = |spans: Spans| (of_load(&spans).len() >= 2 * load.asked()).then_some(());
        jaeger.spans(SERVED).map(whole).transpose()
    })?
}

/// The spans of the load: by kind and number.
fn of_load(spans: &Spans) -> BTreeSet<(bool, String)> {
    let ours = |span: &&Span| match span.kind {
        Kind::Server => span.service == SERVED,
        Kind::Client => span.service == OURSELVES,
        Kind::Other(_) => false,
    };
    let number = |span: &Span| {
        let text = if span.kind == Kind::Client { "url.full" } else { "url.query" };
        span.text(text).rsplit_once("n=").map_or_else(String::new, |(_, number)| number.to_owned())
    };
    spans.0.iter().filter(ours).map(|span| (span.kind == Kind::Server, number(span))).collect()
}

/// Every span that was made is stored once, or counted as lost; and each agent's own counters add up.
fn add_up(load: &Load, stored: &Spans, agents: &[Stopped]) -> TestResult {
    let ids: BTreeSet<&str> = stored.0.iter().map(|span| span.span_id.as_str()).collect();
    ensure!(ids.len() == stored.len(), "some are stored twice");
    let mut lost = 0;
    for (number, Stopped { counters, spans }) in agents.iter().enumerate() {
        ensure!(spans.is_empty(), "spans went to another place");
        lost += balance(counters)?;
        // The last one has nobody to leave a spool to.
        if number + 1 == agents.len() {
            ensure!(counters.value("export.spans_spooled")? == 0, "some are in the spool still");
            ensure!(counters.value("export.attempts_failed")? > 0, "the outage was not noticed");
        }
        counters.nothing_lost()?;
    }
    let (kept, sent) = (of_load(stored).len() as u64, 2 * load.asked() as u64);
    println!("{sent} sent, {kept} stored, {lost} counted as lost");
    ensure!(kept + lost == sent, "{kept} stored and {lost} counted as lost are not {sent} sent");
    // What can be had again was not given up.
    ensure!(lost == 0, "{lost} were lost in a short outage");
    Ok(())
}

/// What went in is what came out, is kept, or is lost; and how much is lost.
fn balance(counters: &Counters) -> anyhow::Result<u64> {
    let sum = |names: &[&str]| -> anyhow::Result<u64> {
        names.iter().map(|name| counters.value(&format!("export.{name}"))).sum()
    };
    let offered = sum(&["spans", "spans_recovered"])?;
    let lost = sum(&[
        "spans_rejected_by_server",
        "spans_in_refused_requests",
        "spans_dropped_queue_full",
        "spans_dropped_at_shutdown",
        "spans_dropped_spool_full",
        "spans_dropped_spool_old",
        "spans_dropped_spool_damaged",
    ])?;
    let kept = sum(&["spans_accepted", "spans_spooled", "spans_waiting"])?;
    ensure!(offered == kept + lost, "{offered} offered, {kept} kept, {lost} lost");
    Ok(lost)
}

/// The tour through a Collector, asked back from Zipkin; then Zipkin is killed, and what comes while it is away is there once
/// it is back. What it had before is gone with its memory, so it is asked first.
fn zipkin() -> TestResult {
    let mut zipkin = Zipkin::start()?;
    let port = free_port()?;
    let collector = Collector::start(
        &format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
             exporters: {{zipkin: {{endpoint: 'http://127.0.0.1:{}/api/v2/spans', sending_queue: {{enabled: false}}, \
             retry_on_failure: {{enabled: false}}}}}}\n\
             service:\n  pipelines: {{traces: {{receivers: [otlp], exporters: [zipkin]}}}}\n",
            zipkin.port
        ),
        vec![port],
    )?;
    let mut agent =
        Setup::default().endpoint(format!("http://127.0.0.1:{port}"), "http/protobuf").start()?;
    let server = python::tour_server("toured", [127, 0, 0, 1].into())?;
    take_tour(&mut python::tour_client()?, &server.target)?;
    let told = |zipkin: &Zipkin, service: &str, count: usize| {
        wait::until("spans in Zipkin", Deadline::seconds(ARRIVAL), || {
            let whole = |spans: Vec<ZipkinSpan>| (spans.len() >= count).then_some(spans);
            zipkin.spans(service).map(whole).transpose()
        })?
    };
    let spans = told(&zipkin, "toured", 2 * TOUR.len())?;
    ensure!(spans.len() == 2 * TOUR.len(), "{spans:?}");
    for stop in &TOUR {
        let tag = |span: &ZipkinSpan, key: &str| span.tags.get(key).cloned().unwrap_or_default();
        let served = spans.iter().find(|span| {
            span.kind == "SERVER"
                && tag(span, "url.path") == stop.path
                && tag(span, "http.request.method") == stop.method
        });
        let served = served.with_context(|| format!("no span for {stop:?}"))?;
        ensure!(served.service == "toured", "{served:?}");
        ensure!(tag(served, "http.response.status_code") == stop.status.to_string(), "{served:?}");
        let asked = spans.iter().find(|span| span.id == served.parent);
        let asked = asked.with_context(|| format!("no parent of {served:?}"))?;
        ensure!(
            asked.kind == "CLIENT" && asked.service == "tour-client" && asked.parent.is_empty(),
            "{asked:?}"
        );
        ensure!(asked.trace_id == served.trace_id, "{asked:?} {served:?}");
    }
    zipkin.backend.kill();
    let load = Load::new()?;
    load.goes_on_while(|| {
        agent.wait_line(FAILED, Deadline::seconds(20))?;
        load.wait_for(MISSED)?;
        zipkin.backend.restart()?;
        agent.wait_line(WORKS, Deadline::seconds(ARRIVAL)).map(drop)
    })?;
    let sent = 2 * load.asked();
    let stored = told(&zipkin, SERVED, sent)?;
    let stopped = agent.stop()?;
    let ids: BTreeSet<&str> = stored.iter().map(|span| span.id.as_str()).collect();
    let lost = balance(&stopped.counters)?;
    ensure!(ids.len() as u64 + lost == sent as u64, "{} stored, {lost} lost", ids.len());
    ensure!(stopped.counters.value("export.attempts_failed")? > 0, "the outage was not noticed");
    drop(collector);
    stopped.counters.nothing_lost()
}

/// A Collector that spreads traces over two others, each of which keeps the whole traces with an error in them: only ids that
/// agree bring both spans of a trace to the same one. The first makes metrics of all spans.
fn tiers() -> TestResult {
    const REQUESTS: usize = 250;
    const TOURS: usize = 10;
    let jaeger = Jaeger::start()?;
    let (port, metrics, behind) = (free_port()?, free_port()?, [free_port()?, free_port()?]);
    let samplers = behind.map(|port| {
        Collector::start(
            &format!(
                "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
                 processors: {{tail_sampling: {{decision_wait: 1s, policies: \
                 [{{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}}]}}}}\n\
                 exporters: {}\nservice:\n  \
                 pipelines: {{traces: {{receivers: [otlp], processors: [tail_sampling], exporters: [otlp]}}}}\n",
                otlp(jaeger.grpc)
            ),
            vec![port],
        )
    });
    let [one, other] = samplers;
    let (one, other) = (one?, other?);
    let front = Collector::start(
        &format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
             connectors: {{spanmetrics: {{metrics_flush_interval: 200ms}}}}\n\
             exporters:\n  prometheus: {{endpoint: '127.0.0.1:{metrics}'}}\n  \
             loadbalancing: {{protocol: {{otlp: {{tls: {{insecure: true}}}}}}, \
             resolver: {{static: {{hostnames: ['127.0.0.1:{}', '127.0.0.1:{}']}}}}}}\n\
             service:\n  pipelines:\n    \
             traces: {{receivers: [otlp], exporters: [loadbalancing, spanmetrics]}}\n    \
             metrics: {{receivers: [spanmetrics], exporters: [prometheus]}}\n",
            behind[0], behind[1]
        ),
        vec![metrics, port],
    )?;
    let agent =
        Setup::default().endpoint(format!("http://127.0.0.1:{port}"), "http/protobuf").start()?;
    let load = Load::new()?;
    load.ask(REQUESTS)?;
    let server = python::tour_server("toured", [127, 0, 0, 1].into())?;
    for _ in 0..TOURS {
        take_tour(&mut python::tour_client()?, &server.target)?;
    }
    let failed = TOURS * TOUR.iter().filter(|stop| stop.status >= 400).count();
    wait::until("what is kept", Deadline::seconds(ARRIVAL), || {
        let whole = |spans: Spans| (spans.len() >= 2 * failed).then_some(());
        jaeger.spans("toured").map(whole).transpose()
    })??;
    let calls = |service: &str, kind: &str| -> anyhow::Result<Option<usize>> {
        let text = Connection::open(&Target::port(metrics))?.get("/metrics")?.body;
        calls_of(&String::from_utf8(text)?, service, kind)
    };
    for (service, kind, count) in [
        (SERVED, "SERVER", REQUESTS),
        ("toured", "SERVER", TOURS * TOUR.len()),
        ("tour-client", "CLIENT", TOURS * TOUR.len()),
    ] {
        wait::until("the metrics", Deadline::seconds(ARRIVAL), || {
            calls(service, kind).map(|seen| (seen == Some(count)).then_some(())).transpose()
        })
        .with_context(|| format!("{kind} spans of {service}: {:?}", calls(service, kind)))??;
    }
    let stopped: Stopped = agent.stop()?;
    let kept = jaeger.spans("toured")?;
    let traces: BTreeSet<&str> = kept.0.iter().map(|span| span.trace_id.as_str()).collect();
    ensure!(traces.len() == failed && kept.len() == 2 * failed, "{kept}");
    for span in &kept.of("toured", Kind::Server).0 {
        let asked = kept.by_id(&span.parent).context("half a trace")?;
        ensure!(asked.trace_id == span.trace_id && asked.service == "tour-client", "{asked}");
        ensure!(span.int("http.response.status_code").is_some_and(|code| code >= 400), "{span}");
    }
    ensure!(jaeger.spans(SERVED)?.is_empty(), "a trace without an error was kept");
    drop((front, one, other));
    balance(&stopped.counters)?;
    stopped.counters.nothing_lost()
}

/// The sum of the span metrics' calls for a service and kind, in Prometheus' text.
fn calls_of(text: &str, service: &str, kind: &str) -> anyhow::Result<Option<usize>> {
    let (service, kind) = (format!("service_name=\"{service}\""), format!("SPAN_KIND_{kind}\""));
    let lines = text.lines().filter(|line| {
        line.contains("calls_total{") && line.contains(&service) && line.contains(&kind)
    });
    let counts = lines.filter_map(|line| line.rsplit(' ').next());
    let counts = counts.map(|count| count.parse::<usize>().with_context(|| count.to_owned()));
    let counts: Vec<usize> = counts.collect::<anyhow::Result<_>>()?;
    Ok((!counts.is_empty()).then(|| counts.iter().sum()))
}
