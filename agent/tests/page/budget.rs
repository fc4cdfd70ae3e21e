//! Long traces: few nodes, however many spans.

use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::browser::Browser;
use crate::shop;
use crate::views::NODES;

pub(crate) async fn long_traces_stay_light(browser: &mut Browser) -> Result<()> {
    // Most of the time is the debug build's, which writes the JSON: the page's part is what is held to the design.
    for (spans, most_ms) in [(1_000_u64, 100.0), (10_000, 600.0)] {
        (browser.take)(long(spans));
        browser.open("/traces").await?;
        browser.wait(".list.item").await?;
        let id = format!("{:032x}", trace(spans));
        let data = browser.ask(&format!("/view/trace/{id}")).await?;
        ensure!(data["columns"]["id"].as_array().map(Vec::len) == Some(spans as usize));
        browser.open(&format!("/trace/{id}")).await?;
        browser.wait(".wf .own").await?;
        // What it took from the answer's arrival until rows were there.
        let took = browser
            .script(
                "const answer = performance.getEntriesByType('resource').findLast((e) => e.name.includes('/view/trace/')); \
                 const drawn = performance.getEntriesByName('drawn')[0]; \
                 return drawn.startTime - answer.responseEnd;",
            )
            .await?;
        println!("  {spans} spans: drawn {took} ms after the answer came");
        ensure!(took.as_f64().is_some_and(|ms| ms < most_ms), "{spans} spans took {took} ms");
        for place in ["0", "1e9", "5000"] {
            browser
                .script(&format!("document.querySelector('.waterfall').scrollTop = {place}"))
                .await?;
            browser.wait(".wf").await?;
            let nodes = browser.script("return document.querySelectorAll('*').length").await?;
            ensure!(nodes.as_u64() <= Some(NODES), "{nodes} nodes for {spans} spans");
        }
        browser.picture(&format!("long-{spans}")).await?;
    }
    Ok(())
}

const fn trace(spans: u64) -> u128 {
    0x1_0000_0000 + spans as u128
}

/// So many spans of all kinds below each other, no two siblings alike.
fn long(spans: u64) -> ExportTraceServiceRequest {
    let mut request = shop::trace(0, 1, shop::now());
    request.resource_spans.truncate(1);
    let scope = &mut request.resource_spans[0].scope_spans[0];
    scope.spans.truncate(1);
    let root = scope.spans[0].clone();
    let start = shop::now() - 10_000_000_000;
    scope.spans = (0..spans)
        .map(|number| {
            let mut span = root.clone();
            span.trace_id = trace(spans).to_be_bytes().to_vec();
            span.span_id = (number + 1).to_be_bytes().to_vec();
            span.parent_span_id = if number == 0 {
                Vec::new()
            } else {
                ((number - 1) / 7 + 1).to_be_bytes().to_vec()
            };
            span.name = format!("step {number}");
            span.start_time_unix_nano = start + number * 1_000;
            span.end_time_unix_nano = start + 9_000_000_000 - number * 1_000;
            span
        })
        .collect();
    request
}
