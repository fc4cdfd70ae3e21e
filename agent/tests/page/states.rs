//! What is said where not everything was seen: sampled, lost, too much for one picture.

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::browser::{Browser, PACE, Server};
use crate::shop;
use crate::views::slowest;

/// Keeps one in twenty.
const STATE: &str = "ot=th:f3333333333333";

pub(crate) async fn what_sampling_left_out_is_counted(browser: &mut Browser) -> Result<()> {
    let server = Server::start(PACE)?;
    for mut request in shop::quarter(60) {
        for span in spans(&mut request) {
            STATE.clone_into(&mut span.trace_state);
        }
        (server.take)(request);
    }
    browser.visit(&server, "/traces?t=1h").await?;
    browser.wait(".list.item").await?;
    browser.until("document.querySelector('#bar').textContent.includes('5% kept')").await?;
    let big = browser.script("return document.querySelector('.number .big').textContent").await?;
    let big = big.as_str().unwrap_or_default();
    ensure!(big.starts_with('~') && big.ends_with("/s"), "{big}");
    let told = browser.ask("/view/traces?t=1h").await?;
    let number = |key: &str| told[key].as_str().and_then(|ns| ns.parse::<f64>().ok());
    let seconds = (number("to").context("to")? - number("from").context("from")?) / 1e9;
    let rate = told["totals"]["rate"].as_f64().context("a rate")?;
    let count = told["totals"]["count"].as_f64().context("a count")?;
    ensure!(count > 30.0 && (rate * seconds / count - 20.0).abs() < 0.01, "{rate} for {count}");
    browser.picture("sampled").await?;
    browser.visit(&server, "/services?t=1h").await?;
    browser.until("/^~/.test(document.querySelector('.red .line[role=row]:not(.head)')?.children[2].textContent)").await?;
    browser.complaints()
}

pub(crate) async fn losses_are_told_as_they_happen(browser: &mut Browser) -> Result<()> {
    let server = Server::start(PACE)?;
    shop::quarter(60).for_each(&server.take);
    browser.visit(&server, "/traces").await?;
    browser.wait(".list.item").await?;
    ensure!(
        browser
            .script("return document.querySelector('#bar').textContent.includes('lost')")
            .await?
            == false
    );
    (server.lose)(312);
    browser
        .until("document.querySelector('#bar').textContent.includes('312 events lost in 15 min')")
        .await?;
    browser.picture("lost").await?;
    let chip =
        "[...document.querySelectorAll('#bar .chip')].find((c) => c.textContent.includes('lost'))";
    browser.script(&format!("{chip}.click()")).await?;
    let table = "document.querySelector('dialog[open] table')?.textContent";
    browser.until(&format!("{table} === 'kernel data ring full312'")).await?;
    browser.complaints()
}

pub(crate) async fn lost_bytes_are_hatched_where_they_were(browser: &mut Browser) -> Result<()> {
    const TRACE: u128 = 0x105e_0000;
    let mut request = shop::trace(0, 1, shop::now());
    for (at, span) in spans(&mut request).enumerate() {
        span.trace_id = TRACE.to_be_bytes().to_vec();
        if at == 1 {
            span.attributes.push(shop::text("spanwire.incomplete", "true"));
        }
    }
    (browser.take)(request);
    browser.open(&format!("/trace/{TRACE:032x}?pairs=0")).await?;
    browser.wait(".wf .lost").await?;
    let found = browser
        .script(
            "const marks = [...document.querySelectorAll('.wf .lost')], row = marks[0].closest('.wf'); \
             const [mark, bar] = [marks[0], row.querySelector('.wait')].map((e) => e.getBoundingClientRect()); \
             const room = row.querySelector('.bars').getBoundingClientRect().right; \
             return [marks.length, mark.left - Math.min(bar.right, room - 14), row.getAttribute('aria-label').includes('bytes of it were lost'), \
               document.querySelector('.tracehead').textContent.includes('incomplete: bytes of 1 span were lost')];",
        )
        .await?;
    ensure!(found[0] == 1 && found[2] == true && found[3] == true, "{found}");
    // Behind the bar, and to be seen.
    ensure!(found[1].as_f64().is_some_and(|gap| gap.abs() <= 1.0), "{found}");
    browser.picture("hatched").await?;
    browser.complaints()
}

pub(crate) async fn repeated_calls_are_compared_with_the_typical(
    browser: &mut Browser,
) -> Result<()> {
    let id = slowest(browser).await?;
    let trace = browser.ask(&format!("/view/trace/{id}")).await?;
    let group = &trace["similar"][0];
    ensure!(group["repeated"] == true, "{group}");
    let usual = group["usual"].as_u64().context("the typical one's calls")?;
    browser.open(&format!("/trace/{id}")).await?;
    browser.wait(".wf .own").await?;
    browser.script("[...document.querySelectorAll('.wf')].find((row) => row.querySelector('.chip.amber')).click()").await?;
    let said = "document.querySelector('.panel .repeats')?.textContent";
    let makes = if usual == 0 { "none".to_owned() } else { usual.to_string() };
    browser.until(&format!("{said}.includes(' requests makes {makes}.')")).await?;
    browser.script("document.querySelector('.panel .repeats button').click()").await?;
    browser.wait(".compared .line .both").await?;
    let typical = trace["typical"]["id"].as_str().context("the typical one")?;
    browser.until(&format!("location.pathname === '/compare/{typical}/{id}'")).await?;
    let of = trace["typical"]["of"].as_u64().context("of how many")?;
    let facts = "document.querySelector('.facts').textContent";
    browser.until(&format!("{facts}.includes('typical, the median of {of}')")).await?;
    browser.complaints()
}

/// Sixty services that only one calls, and that call nobody.
pub(crate) async fn many_leaves_are_one_node(browser: &mut Browser) -> Result<()> {
    let server = Server::start(PACE)?;
    for leaf in 0..60 {
        (server.take)(called(leaf));
    }
    browser.visit(&server, "/map").await?;
    browser.wait(".mapnode.more").await?;
    let shown = browser
        .script("return [...document.querySelectorAll('.mapnode')].map((n) => n.querySelector('strong').textContent).sort()")
        .await?;
    ensure!(shown == serde_json::json!(["+60", "clients", "gateway"]), "{shown}");
    browser.script("document.querySelector('.mapnode.more').click()").await?;
    browser.until("document.querySelectorAll('.panel button.factline').length === 60").await?;
    browser.picture("folded").await?;
    browser.script("document.querySelector('.panel button.factline').click()").await?;
    browser.until("document.querySelector('.panel h2').textContent.startsWith('leaf-')").await?;
    browser.complaints()
}

/// A request to `gateway` that asks one of the leaves.
fn called(leaf: u64) -> ExportTraceServiceRequest {
    use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
    let mut request = shop::trace(0, 1, shop::now());
    request.resource_spans.truncate(1);
    let model = request.resource_spans.remove(0);
    let root = model.scope_spans[0].spans[0].clone();
    let ends = [
        ("gateway".to_owned(), SpanKind::Server, 0),
        ("gateway".to_owned(), SpanKind::Client, 1),
        (format!("leaf-{leaf}"), SpanKind::Server, 2),
    ];
    for (number, (service, kind, parent)) in (1_u64..).zip(ends) {
        let mut of = model.clone();
        of.resource.get_or_insert_default().attributes = vec![shop::text("service.name", &service)];
        let mut span = root.clone();
        span.trace_id = (0x1eaf_0000 + u128::from(leaf)).to_be_bytes().to_vec();
        span.span_id = number.to_be_bytes().to_vec();
        span.parent_span_id =
            if parent == 0 { Vec::new() } else { u64::to_be_bytes(parent).to_vec() };
        span.kind = kind.into();
        span.end_time_unix_nano = shop::now();
        span.start_time_unix_nano = span.end_time_unix_nano - 9_000_000 + number * 1_000_000;
        of.scope_spans[0].spans = vec![span];
        request.resource_spans.push(of);
    }
    request
}

fn spans(
    request: &mut ExportTraceServiceRequest,
) -> impl Iterator<Item = &mut opentelemetry_proto::tonic::trace::v1::Span> {
    let of = request.resource_spans.iter_mut().flat_map(|of| &mut of.scope_spans);
    of.flat_map(|scope| &mut scope.spans)
}
