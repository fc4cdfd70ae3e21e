//! Requests that have not ended yet.

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use spanwire::status::OpenRequest;

use crate::browser::Browser;
use crate::shop;

const TRACE: u128 = 0x0be4_0000;
/// The stream, and a call that it has made.
const STREAM: u64 = 0x51;

pub(crate) async fn what_is_open_is_shown_until_its_end(browser: &mut Browser) -> Result<()> {
    let began = shop::now() - 90_000_000_000;
    let (stream, call) = (span(STREAM, 0, began, 95), span(STREAM + 1, STREAM, began, 5));
    (browser.take)(call);
    (browser.tell)(vec![OpenRequest {
        service: "edge".to_owned(),
        kind: "server".into(),
        method: "GET".to_owned(),
        path: "/events".to_owned(),
        pid: 7,
        open_ns: 90_000_000_000,
        long: true,
        start: began,
        span: format!("{STREAM:016x}"),
        trace: Some(format!("{TRACE:032x}")),
        parent: None,
    }]);
    // From the bar to its trace.
    browser.open("/traces?q=under%3Dway").await?;
    browser
        .until("document.querySelector('.list.item')?.textContent.includes('still open')")
        .await?;
    let chip =
        "[...document.querySelectorAll('#bar .chip')].find((c) => c.textContent === '1 under way')";
    browser.until(chip).await?;
    browser.script(&format!("{chip}.click()")).await?;
    browser.wait("dialog[open] .traced").await?;
    browser.picture("under-way").await?;
    browser.script("[...document.querySelectorAll('dialog button')].find((b) => b.textContent === 'Trace').click()").await?;
    browser.wait(".wf .fades .wait").await?;
    let rows = browser.script("return [...document.querySelectorAll('.wf')].map((row) => row.getAttribute('aria-label'))").await?;
    let rows = rows.as_array().context("rows")?;
    ensure!(rows.len() == 2, "{rows:?}");
    let first = rows[0].as_str().unwrap_or_default();
    ensure!(first.contains("GET /events") && first.contains("still open"), "{first}");
    // Whoever is open is no missing parent, and its bar reaches the edge.
    let text = browser.script("return document.querySelector('.tracehead').textContent").await?;
    let text = text.as_str().unwrap_or_default();
    ensure!(text.contains("1 still open") && !text.contains("not seen"), "{text}");
    let edges = "const [bar, box] = ['.wf .fades .wait', '.wf .bars'].map((s) => document.querySelector(s).getBoundingClientRect()); return box.right - bar.right";
    let gap = browser.script(edges).await?;
    ensure!(gap.as_f64().is_some_and(|gap| gap.abs() <= 1.0), "{gap}");
    browser.picture("still-open").await?;
    // It goes on by itself, and is a span like others at its end.
    let length = "document.querySelector('.wf').getAttribute('aria-label')";
    let before = browser.script(&format!("return {length}")).await?;
    browser.until(&format!("{length} !== {before}")).await?;
    (browser.tell)(Vec::new());
    (browser.take)(stream);
    browser
        .until("!document.querySelector('.fades') && document.querySelector('.wf .own')")
        .await?;
    let rows = browser.script("return document.querySelectorAll('.wf').length").await?;
    ensure!(rows == 2, "{rows}");
    browser.complaints()
}

/// A span of `edge`, so many seconds long.
fn span(id: u64, parent: u64, start: u64, seconds: u64) -> ExportTraceServiceRequest {
    let mut request = shop::trace(0, 1, shop::now());
    request.resource_spans.truncate(1);
    let scope = &mut request.resource_spans[0].scope_spans[0];
    scope.spans.truncate(1);
    let span = &mut scope.spans[0];
    span.trace_id = TRACE.to_be_bytes().to_vec();
    span.span_id = id.to_be_bytes().to_vec();
    span.parent_span_id = if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() };
    span.start_time_unix_nano = start;
    span.end_time_unix_nano = start + seconds * 1_000_000_000;
    span.attributes = vec![shop::text("under", "way")];
    request
}
