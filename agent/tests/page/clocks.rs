//! A trace through two hosts whose clocks cannot both be right.

use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;

use crate::browser::Browser;
use crate::shop;

const TRACE: u128 = 0xc10c_0000;
const MS: u64 = 1_000_000;

pub(crate) async fn impossible_times_are_moved_and_it_is_said(browser: &mut Browser) -> Result<()> {
    let began = shop::now() - 5_000 * MS;
    // The second host's clock is 40 ms ahead, as far as one can know to 5 ms.
    let ends =
        [(1, 0, SpanKind::Client, "web-01", 0, 100), (2, 1, SpanKind::Server, "web-02", 45, 135)];
    for (id, parent, kind, host, from, to) in ends {
        (browser.take)(span(id, parent, kind, host, (began + from * MS, began + to * MS)));
    }
    browser.open(&format!("/trace/{TRACE:032x}?pairs=0")).await?;
    browser.wait(".wf.moved .wait").await?;
    let said = browser.script("return document.querySelector('.tracehead').textContent").await?;
    ensure!(said.as_str().unwrap_or_default().contains("web-02 clock +40.0 ms ±5.00 ms"), "{said}");
    let moved = bars(browser).await?;
    ensure!(moved[0].0 <= moved[1].0 && moved[1].1 <= moved[0].1, "{moved:?}");
    browser.picture("clocks").await?;
    browser.press("r").await?;
    browser.until("document.querySelector('.wf') && !document.querySelector('.wf.moved')").await?;
    browser.until("document.querySelector('.tracehead').textContent.includes('shown raw')").await?;
    let raw = bars(browser).await?;
    ensure!(raw[1].1 > raw[0].1, "{raw:?}");
    browser.until("location.search.includes('skew=raw')").await?;
    browser.press("r").await?;
    browser.wait(".wf.moved").await?;
    browser.complaints()
}

/// Left and right of each row's bar.
async fn bars(browser: &Browser) -> Result<Vec<(f64, f64)>> {
    let found = browser
        .script("return [...document.querySelectorAll('.wf .wait')].map((bar) => { const { left, right } = bar.getBoundingClientRect(); return [left, right]; })")
        .await?;
    let side = |bar: &Value, at: usize| bar[at].as_f64().unwrap_or(f64::NAN);
    let bars: Vec<_> =
        found.as_array().into_iter().flatten().map(|bar| (side(bar, 0), side(bar, 1))).collect();
    ensure!(bars.len() == 2, "{found}");
    Ok(bars)
}

fn span(
    id: u64,
    parent: u64,
    kind: SpanKind,
    host: &str,
    (start, end): (u64, u64),
) -> ExportTraceServiceRequest {
    let mut request = shop::trace(0, 1, shop::now());
    request.resource_spans.truncate(1);
    let of = &mut request.resource_spans[0];
    let resource = of.resource.get_or_insert_default();
    resource.attributes =
        vec![shop::text("service.name", &format!("shop-{host}")), shop::text("host.name", host)];
    of.scope_spans[0].spans.truncate(1);
    let span = &mut of.scope_spans[0].spans[0];
    span.trace_id = TRACE.to_be_bytes().to_vec();
    span.span_id = id.to_be_bytes().to_vec();
    span.parent_span_id = if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() };
    span.kind = kind.into();
    (span.start_time_unix_nano, span.end_time_unix_nano) = (start, end);
    span.attributes = Vec::new();
    request
}
