//! The page's budgets: how soon it is there, how little it does while nothing happens, how little it keeps.
//!
//! The machine may be busy, so nothing is judged by one look at a clock. What takes wall time is done several times and
//! the quickest counts: others can only add to it, and what the page needs itself is in every one. What costs processor
//! time is read as that. What grows in an hour is judged by what grows in an hour's worth of updates, after a collection
//! of garbage.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fantoccini::wd::WindowHandle;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::json;
use tokio::time::Instant;

use crate::browser::{Browser, PACE, Server};
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
            if took < most_ms {
                break;
            }
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
                if each <= frame_ms {
                    break;
                }
            }
            println!("  {spans} spans: {each:.1} ms of computing a frame while {what}");
            ensure!(each <= frame_ms, "{spans} spans: {each} ms a frame while {what}");
        }
    }
    Ok(())
}

/// Spans of a trace that takes more than one slice.
const LONGER: u64 = 20_000;

/// Rows are laid out for 8 ms at a stretch. The page's clock goes on by 1 ms each time it is looked at, so that how fast
/// the machine is does not count: then a slice is eight looks, of 200 spans each.
pub(crate) async fn longer_ones_are_laid_out_in_slices(browser: &mut Browser) -> Result<()> {
    (browser.take)(long(LONGER));
    let counts = "const [now, rest] = [performance.now.bind(performance), scheduler.yield.bind(scheduler)]; \
        let looks = 0; window.rests = 0; \
        performance.now = () => now() + looks++; \
        scheduler.yield = () => { window.rests += 1; return rest(); };";
    let script = json!({ "source": counts });
    let added = browser.devtools("Page.addScriptToEvaluateOnNewDocument", script).await?;
    browser.open(&format!("/trace/{:032x}", trace(LONGER))).await?;
    browser.wait(".wf .own").await?;
    let rests =
        browser.script("return [window.rests, document.querySelectorAll('.wf').length]").await?;
    browser.devtools("Page.removeScriptToEvaluateOnNewDocument", added).await?;
    let slices = rests[0].as_u64().context("not counted")? + 1;
    println!("  {LONGER} spans: laid out in {slices} slices");
    // More where the machine is so slow that time itself ends one.
    ensure!(slices >= LONGER / (8 * 200), "{rests}");
    Ok(())
}

/// Frames in which something is done, and how often so many at most: neighbours take a part of the processor's caches,
/// so that the quickest counts here, too.
const FRAMES: usize = 6;
const BATCHES: usize = 20;
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
            if paint <= FIRST_PAINT && rows <= FIRST_ROWS {
                break;
            }
        }
        println!("  {path}: painted after {paint:.0} ms, rows after {rows:.0} ms");
        ensure!(paint <= FIRST_PAINT, "{path}: the first paint takes {paint} ms");
        ensure!(rows <= FIRST_ROWS, "{path}: the first rows take {rows} ms");
    }
    Ok(())
}

/// How long idle pages are watched: for two of their refreshes.
const WATCHED: Duration = Duration::from_secs(10);
/// And how often, if it has to be: the least counts.
const LOOKS: usize = 3;
/// And after so long: what comes with a page's beginning is no idling.
const SETTLES: Duration = Duration::from_secs(2);
/// Part of a core.
const IDLE: f64 = 0.01;

/// Idle pages, each in a window of its own beside those of other tests: what is read is their own threads' time.
pub(crate) struct Idle {
    pages: Vec<(&'static str, WindowHandle)>,
    main: WindowHandle,
    began: Instant,
    /// What each had used then, s.
    before: Vec<f64>,
    /// Nothing happens at it.
    _server: Server,
}

impl Idle {
    pub(crate) async fn begin(browser: &Browser) -> Result<Self> {
        let server = Server::start(PACE)?;
        shop::quarter(600).for_each(&server.take);
        let main = browser.client.window().await?;
        let mut pages = Vec::new();
        for path in ["/traces", "/services", "/map", "/latency"] {
            let window = browser.client.new_window(false).await?.handle;
            browser.client.switch_to_window(window.clone()).await?;
            browser.visit(&server, path).await?;
            browser.until("performance.getEntriesByName('drawn').length").await?;
            count_thread_time(browser).await?;
            pages.push((path, window));
        }
        tokio::time::sleep(SETTLES).await;
        let began = Instant::now();
        let mut idle = Self { pages, main, began, before: Vec::new(), _server: server };
        idle.before = idle.used(browser).await?;
        Ok(idle)
    }

    /// What each has used since its beginning, s.
    async fn used(&self, browser: &Browser) -> Result<Vec<f64>> {
        let mut all = Vec::new();
        for (path, window) in &self.pages {
            browser.client.switch_to_window(window.clone()).await?;
            ensure!(browser.script("return document.hidden").await? == false, "{path} is hidden");
            all.push(metric(browser, "TaskDuration").await?);
        }
        browser.client.switch_to_window(self.main.clone()).await?;
        Ok(all)
    }

    /// Since its beginning, and again if it has to be.
    pub(crate) async fn rests(mut self, browser: &Browser) -> Result<()> {
        let mut least = vec![f64::INFINITY; self.pages.len()];
        for _ in 0..LOOKS {
            tokio::time::sleep_until(self.began + WATCHED).await;
            let (began, seconds) = (Instant::now(), self.began.elapsed().as_secs_f64());
            let used = self.used(browser).await?;
            for (least, (now, before)) in least.iter_mut().zip(used.iter().zip(&self.before)) {
                *least = least.min((now - before) / seconds);
            }
            if least.iter().all(|used| *used <= IDLE) {
                break;
            }
            (self.began, self.before) = (began, used);
        }
        for (path, window) in &self.pages {
            browser.client.switch_to_window(window.clone()).await?;
            browser.client.close_window().await?;
            let used = least.remove(0);
            println!("  {path}: {:.2} % of a core while nothing happens", used * 100.0);
            ensure!(used <= IDLE, "{path}: {used} of a core");
        }
        Ok(browser.client.switch_to_window(self.main.clone()).await?)
    }
}

/// Bytes of the page's heap that are used.
const HEAP: f64 = 60e6;
/// Looks at it; in the first ones what is filled once is filled.
const ROUNDS: usize = 12;
const WARM: usize = 3;
/// The least of so many looks counts: what is under way only adds to it.
const NEAR: usize = 4;
/// Updates between two looks. A view that is kept when it is left is 150 kB, 60 MB in an hour are 8 kB an update: within
/// these rounds both are far more than what a heap varies by.
const ROUND: u64 = 16;
/// Updates that a page is told of in an hour, two a second.
const HOUR: f64 = 7_200.0;
/// They come this much sooner here.
const SOON: Duration = Duration::from_millis(25);

pub(crate) async fn an_open_page_does_not_grow(browser: &mut Browser) -> Result<()> {
    let server = Server::start(SOON)?;
    shop::quarter(600).for_each(&server.take);
    browser.devtools("Performance.enable", json!({})).await?;
    browser.visit(&server, "/traces").await?;
    browser.until("document.querySelector('.list.item')").await?;
    let mut told = 0;
    let mut heaps = Vec::new();
    for round in 0..ROUNDS {
        let until = told + ROUND;
        while told < until {
            for number in 0..10 {
                (server.take)(shop::trace(2_000_000 + told * 10 + number, u64::MAX, shop::now()));
            }
            told += 1;
            tokio::time::sleep(SOON).await;
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
    let least = |looks: &[f64]| looks.iter().copied().fold(f64::INFINITY, f64::min);
    let (early, late) = (least(&heaps[WARM..WARM + NEAR]), least(&heaps[ROUNDS - NEAR..]));
    let updates = (ROUNDS - NEAR - WARM) as f64 * ROUND as f64;
    let hour = late + ((late - early) / updates).max(0.0) * HOUR;
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
