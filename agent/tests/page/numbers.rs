//! Numbers that are shown, against numbers computed from the spans here.

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::browser::Browser;
use crate::shop;

pub(crate) async fn percentiles_are_those_of_the_spans(browser: &mut Browser) -> Result<()> {
    let mut durations: Vec<u64> = shop::quarter(600)
        .flat_map(|request| request.resource_spans)
        .filter(|of| {
            of.resource.iter().any(|r| {
                r.attributes
                    .iter()
                    .any(|a| a.key == "service.name" && a.value == shop::text("", "auth").value)
            })
        })
        .flat_map(|of| of.scope_spans.into_iter().flat_map(|scope| scope.spans))
        .filter(|span| span.kind() == SpanKind::Server)
        .map(|span| span.end_time_unix_nano - span.start_time_unix_nano)
        .collect();
    durations.sort_unstable();
    ensure!((200..1_000).contains(&durations.len()), "{}", durations.len());
    browser.open("/services?t=1h").await?;
    browser.wait(".red .line[role=row]").await?;
    let shown = browser
        .script(
            "const row = [...document.querySelectorAll('.red .line[role=row]')].find((r) => r.querySelector('strong').textContent === 'auth'); \
             return [...row.children].map((cell) => cell.textContent);",
        )
        .await?;
    for (at, share) in [(5, 0.5), (6, 0.95), (7, 0.99)] {
        let rank = (share * durations.len() as f64).ceil() as usize;
        let expected = three_digits(durations[rank - 1]);
        let found = shown[at].as_str().context("a cell")?.trim_start_matches("▲ ");
        ensure!(found == expected, "p{share}: {found} for {expected}");
    }
    Ok(())
}

/// As the page writes a duration.
fn three_digits(nanos: u64) -> String {
    let (unit, size) = match nanos {
        0..999_500 => ("µs", 1e3),
        999_500..999_500_000 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    let number = nanos as f64 / size;
    let digits = match number {
        99.95.. => 0,
        9.995.. => 1,
        _ => 2,
    };
    // A half is rounded up in the page's language, to even in this one.
    format!("{:.digits$} {unit}", number * (1.0 + 1e-9))
}

pub(crate) async fn parts_of_a_difference_add_up(browser: &mut Browser) -> Result<()> {
    browser.open("/traces").await?;
    browser.wait(".list.item").await?;
    let host = browser.ask("/view/host").await?;
    let now = host["now"].as_str().context("now")?.parse::<u64>()? / 1_000_000;
    let range = format!("t={}..{now}", now - 3_600_000);
    let sides = format!("{},{now},300000,9000000", now - 3_600_000);
    let found =
        browser.ask(&format!("/view/differs?q=service%3Dorders&{range}&box={sides}")).await?;
    let extra = found["extra"].as_array().context("parts")?;
    let sum: f64 = extra.iter().filter_map(|part| part["time"].as_f64()).sum();
    let slower = found["slower"].as_f64().context("a difference")?;
    ensure!(slower > 1e8 && (sum - slower).abs() < 1_000.0, "{sum} {slower}");
    ensure!(found["selected"].as_u64() > Some(20), "{}", found["selected"]);
    // And it is drawn.
    browser.open(&format!("/latency?q=service%3Dorders&{range}&box={sides}")).await?;
    browser.wait(".extra").await?;
    browser.wait(".fact").await?;
    browser.picture("differs").await?;
    let id = crate::views::slowest(browser).await?;
    let typical = browser.ask(&format!("/view/typical/{id}?t=1h")).await?;
    let compared = browser
        .ask(&format!("/view/compare/{}/{id}", typical["id"].as_str().context("an id")?))
        .await?;
    let path = |side: &str| -> f64 {
        let rows = compared["rows"].as_array().into_iter().flatten();
        rows.filter_map(|row| row[side]["path"].as_f64()).sum()
    };
    for side in ["a", "b"] {
        let whole = compared[side]["duration"].as_f64().context("a duration")?;
        ensure!((path(side) - whole).abs() < 1.0, "{side}: {} {whole}", path(side));
    }
    Ok(())
}
