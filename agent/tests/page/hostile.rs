//! Captured text is hostile: it must stay text, and be seen.

use anyhow::{Result, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::browser::Browser;
use crate::shop;

/// Markup, a script, an address that runs, a text that turns around, one that cannot be seen, a terminal's orders.
const TEXTS: [&str; 6] = [
    "<img src=x onerror=\"window.pwned=1\">",
    "</script><script>window.pwned=2</script>",
    "javascript:window.pwned=3",
    "abc\u{202e}fed\u{2066}",
    "a\u{200b}b\u{feff}",
    "\u{1b}[2J\u{7}",
];

pub(crate) async fn text_stays_text(browser: &mut Browser) -> Result<()> {
    for (at, text) in TEXTS.iter().enumerate() {
        (browser.take)(request(text, at as u64));
    }
    browser.open("/traces?t=5m&q=hostile%3Dyes").await?;
    browser.wait(".list.item").await?;
    browser
        .until(&format!("document.querySelectorAll('.list.item').length === {}", TEXTS.len()))
        .await?;
    browser.picture("hostile").await?;
    check(browser).await?;
    for path in [
        "/services?t=5m&q=hostile%3Dyes",
        "/map?t=5m&q=hostile%3Dyes",
        "/latency?t=5m&q=hostile%3Dyes",
    ] {
        browser.open(path).await?;
        browser.wait("#query .field").await?;
        browser.until("document.querySelector('.line[role=row], .mapnode, .heatkey')").await?;
        check(browser).await?;
    }
    for at in 0..TEXTS.len() {
        browser.open(&format!("/trace/{:032x}", id(at as u64))).await?;
        browser.wait(".wf").await?;
        browser.script("document.querySelector('.wf').click()").await?;
        browser.wait(".panel dl").await?;
        check(browser).await?;
    }
    browser.open(&format!("/trace/{:032x}", id(3))).await?;
    browser.wait(".wf").await?;
    browser.until("document.body.textContent.includes('abc⟨U+202E⟩fed⟨U+2066⟩')").await?;
    browser.complaints()
}

/// Nothing ran, nothing was made of a text, and nothing that cannot be seen is there.
async fn check(browser: &Browser) -> Result<()> {
    let found = browser
        .script(
            "return [window.pwned ?? null, document.querySelectorAll('img, iframe, object, a[href^=javascript]').length, \
             document.querySelectorAll('script').length, \
             /[\\u0000-\\u0008\\u000b-\\u001f\\u007f\\u200b-\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ufeff]/.test(document.body.textContent)]",
        )
        .await?;
    ensure!(found == serde_json::json!([null, 0, 1, false]), "{found}");
    Ok(())
}

const fn id(at: u64) -> u128 {
    0xbad0_0000 + at as u128
}

/// A trace in which everything that can be a text is this one.
fn request(text: &str, at: u64) -> ExportTraceServiceRequest {
    let mut request = shop::trace(at, 600, shop::now());
    for of in &mut request.resource_spans {
        for attribute in of.resource.iter_mut().flat_map(|resource| &mut resource.attributes) {
            attribute.value = shop::text("", text).value;
        }
        for scope in &mut of.scope_spans {
            scope.scope.get_or_insert_default().name = text.to_owned();
            for span in &mut scope.spans {
                span.trace_id = id(at).to_be_bytes().to_vec();
                span.name = text.to_owned();
                let now = shop::now();
                span.end_time_unix_nano = now - (span.start_time_unix_nano % 1_000);
                span.start_time_unix_nano = now - 1_000_000;
                for attribute in &mut span.attributes {
                    attribute.value = shop::text("", text).value;
                }
                span.attributes.push(shop::text(text, text));
                span.attributes.push(shop::text("hostile", "yes"));
                span.attributes.push(shop::text("server.address", text));
                span.attributes.push(shop::text("error.type", text));
            }
        }
    }
    request
}
