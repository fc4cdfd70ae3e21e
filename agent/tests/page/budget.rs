//! The page's budgets: how soon it is there, how little it does while nothing happens, how little it keeps.
//!
//! The machine may be busy, so nothing is judged by one look at a clock. What takes wall time is done several times and
//! the quickest counts: others can only add to it, and what the page needs itself is in every one. What costs processor
//! time is read as that. What grows in an hour is judged by what grows in an hour's worth of updates, after a collection
//! of garbage.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::json;

use crate::browser::Browser;
use crate::shop;
use crate::views::NODES;

pub(crate) async fn long_traces_stay_light(browser: &mut Browser) -> Result<()> {
    count_thread_time(browser).await?;
    // Most of the time is the debug build's, which writes the JSON: the page's part is what is held to the design.
    for (spans, most_ms, frame_ms) in [(1_000_u64, 100.0, 8.0), (10_000, 600.0, 16.0)] {
        (browser.take)(long(spans));
        browser.open("/traces").await?;
        browser.wait(".list.item").await?;
        let id = format!("{:032x}", trace(spans));
        let data = browser.ask(&format!("/view/trace/{id}")).await?;
        ensure!(data["columns"]["id"].as_array().map(Vec::len) == Some(spans as usize));
        // What it took from the answer's arrival until rows were there.
        let mut took = f64::INFINITY;
        for _ in 0..LOADS {
            browser.open(&format!("/trace/{id}")).await?;
            browser.wait(".wf .own").await?;
            let ms = browser
                .script(
                    "const answer = performance.getEntriesByType('resource').findLast((e) => e.name.includes('/view/trace/')); \
                     const drawn = performance.getEntriesByName('drawn')[0]; \
                     return drawn.startTime - answer.responseEnd;",
                )
                .await?;
            took = took.min(ms.as_f64().context("no time")?);
        }
        println!("  {spans} spans: drawn {took:.0} ms after the answer came");
        ensure!(took < most_ms, "{spans} spans took {took} ms");
        for place in ["0", "1e9", "5000"] {
            browser
                .script(&format!("document.querySelector('.waterfall').scrollTop = {place}"))
                .await?;
            browser.wait(".wf").await?;
            let nodes = browser.script("return document.querySelectorAll('*').length").await?;
            ensure!(nodes.as_u64() <= Some(NODES), "{nodes} nodes for {spans} spans");
        }
        browser.picture(&format!("long-{spans}")).await?;
        for (what, act) in [("scrolling", SCROLL), ("folding", FOLD)] {
            let mut each = f64::INFINITY;
            for _ in 0..BATCHES {
                let before = computed(browser).await?;
                browser.frames(act, FRAMES).await?;
                each = each.min((computed(browser).await? - before) * 1_000.0 / FRAMES as f64);
            }
            println!("  {spans} spans: {each:.1} ms of computing a frame while {what}");
            ensure!(each <= frame_ms, "{spans} spans: {each} ms a frame while {what}");
        }
    }
    Ok(())
}

/// Frames in which something is done, and how often so many: neighbours take a part of the processor's caches, so that
/// the quickest counts here, too.
const FRAMES: usize = 6;
const BATCHES: usize = 6;
/// What is done in each, with its number.
const SCROLL: &str = "document.querySelector('.waterfall').scrollTop = 26 * 4 * at";
const FOLD: &str = "document.querySelector('.waterfall').scrollTop = 0; document.querySelector('.wf button.fold').click()";

/// Seconds of processor time that the page has used for scripts, styles and layout.
async fn computed(browser: &Browser) -> Result<f64> {
    let mut sum = 0.0;
    for part in ["ScriptDuration", "RecalcStyleDuration", "LayoutDuration"] {
        sum += metric(browser, part).await?;
    }
    Ok(sum)
}

async fn count_thread_time(browser: &Browser) -> Result<()> {
    browser.devtools("Performance.disable", json!({})).await?;
    browser.devtools("Performance.setTimeDomain", json!({ "timeDomain": "threadTicks" })).await?;
    browser.devtools("Performance.enable", json!({})).await?;
    Ok(())
}

/// Loads of which the quickest counts.
const LOADS: usize = 5;
/// ms from the navigation's start.
const FIRST_PAINT: f64 = 150.0;
const FIRST_ROWS: f64 = 400.0;

pub(crate) async fn a_page_is_there_at_once(browser: &mut Browser) -> Result<()> {
    for (path, shows) in [("/traces", ".list.item"), ("/services", ".red .line[role=row]")] {
        let (mut paint, mut rows) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..LOADS {
            browser.open(path).await?;
            browser.wait(shows).await?;
            let times = browser
                .script(
                    "const of = (name) => performance.getEntriesByName(name)[0].startTime; \
                     return [of('first-contentful-paint'), of('drawn')];",
                )
                .await?;
            paint = paint.min(times[0].as_f64().context("no paint")?);
            rows = rows.min(times[1].as_f64().context("no rows")?);
        }
        println!("  {path}: painted after {paint:.0} ms, rows after {rows:.0} ms");
        ensure!(paint <= FIRST_PAINT, "{path}: the first paint takes {paint} ms");
        ensure!(rows <= FIRST_ROWS, "{path}: the first rows take {rows} ms");
    }
    Ok(())
}

/// How long an idle page is watched: for two of its refreshes.
const WATCHED: Duration = Duration::from_secs(10);
/// And how often, if it has to be: the least counts.
const LOOKS: usize = 3;
/// And after so long: what comes with a page's beginning is no idling.
const SETTLES: Duration = Duration::from_secs(2);
/// Part of a core.
const IDLE: f64 = 0.01;

pub(crate) async fn an_idle_page_rests(browser: &mut Browser) -> Result<()> {
    count_thread_time(browser).await?;
    for path in ["/traces", "/services", "/map", "/latency"] {
        browser.open(path).await?;
        browser.until("performance.getEntriesByName('drawn').length").await?;
        tokio::time::sleep(SETTLES).await;
        let mut least = f64::INFINITY;
        for _ in 0..LOOKS {
            let before = metric(browser, "TaskDuration").await?;
            tokio::time::sleep(WATCHED).await;
            let used = metric(browser, "TaskDuration").await? - before;
            least = least.min(used / WATCHED.as_secs_f64());
            if least <= IDLE {
                break;
            }
        }
        println!("  {path}: {:.2} % of a core while nothing happens", least * 100.0);
        ensure!(least <= IDLE, "{path}: {least} of a core");
    }
    Ok(())
}

/// Bytes of the page's heap that are used.
const HEAP: f64 = 60e6;
/// Looks at it; in the first ones what is filled once is filled.
const ROUNDS: usize = 9;
const WARM: usize = 2;
/// Updates between two looks. A view that is kept when it is left is 150 kB, 60 MB in an hour are 8 kB an update: within
/// these rounds both are far more than what a heap varies by.
const ROUND: u64 = 8;
/// Updates that a page is told of in an hour, two a second.
const HOUR: f64 = 7_200.0;

pub(crate) async fn an_open_page_does_not_grow(browser: &mut Browser) -> Result<()> {
    browser.devtools("Performance.enable", json!({})).await?;
    browser.open("/traces").await?;
    browser.until("document.querySelector('.list.item')").await?;
    let mut told = 0;
    let mut heaps = Vec::new();
    for round in 0..ROUNDS {
        let until = told + ROUND;
        while told < until {
            for number in 0..10 {
                (browser.take)(shop::trace(2_000_000 + told * 10 + number, u64::MAX, shop::now()));
            }
            told += 1;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        for view in ["services", "map", "latency", "traces"] {
            browser.script(&format!("[...document.querySelectorAll('#bar .tab')].find((t) => t.textContent.toLowerCase() === '{view}').click()")).await?;
            browser.until("document.querySelector('main').children.length > 0").await?;
        }
        // No element is asked for: the driver would hold it, and with it the view.
        browser.until("document.querySelector('.list.item')").await?;
        browser.devtools("HeapProfiler.collectGarbage", json!({})).await?;
        let heap = metric(browser, "JSHeapUsedSize").await?;
        println!("  round {round}: {:.1} MB of heap after {told} updates", heap / 1e6);
        heaps.push(heap);
    }
    let updates = (ROUNDS - 1 - WARM) as f64 * ROUND as f64;
    let last = heaps[ROUNDS - 1];
    let hour = last + ((last - heaps[WARM]) / updates).max(0.0) * HOUR;
    println!("  {:.1} MB after an hour at this rate", hour / 1e6);
    ensure!(hour <= HEAP, "{heaps:?}: {hour} bytes after an hour");
    Ok(())
}

async fn metric(browser: &Browser, name: &str) -> Result<f64> {
    let told = browser.devtools("Performance.getMetrics", json!({})).await?;
    let mut metrics = told["metrics"].as_array().into_iter().flatten();
    let found = metrics.find(|metric| metric["name"] == name).and_then(|m| m["value"].as_f64());
    found.with_context(|| format!("no {name}: {told}"))
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
