//! Bars against spans.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::browser::Browser;
use crate::views::slowest;

pub(crate) async fn bars_are_where_the_spans_are(browser: &mut Browser) -> Result<()> {
    let id = slowest(browser).await?;
    browser.open(&format!("/trace/{id}?pairs=0")).await?;
    browser.wait(".wf .wait").await?;
    let trace = browser.ask(&format!("/view/trace/{id}")).await?;
    let ids = texts(&trace["columns"]["id"]);
    let number = |column: &str, at: usize| trace["columns"][column][at].as_f64().unwrap_or(-1.0);
    let length = trace["length"].as_f64().unwrap_or(1.0);
    // Without pairs each row but a group's is one span, in the order of the columns; the first twelve are on the screen.
    let drawn = browser
        .script(
            "const width = document.querySelector('.ruler').clientWidth; \
             return [width, ...[...document.querySelectorAll('.wf')].filter((row) => row.querySelector('.wait')).map((row) => { \
               const bar = row.querySelector('.wait'), box = row.querySelector('.bars'); \
               const [a, b] = [bar.getBoundingClientRect(), box.getBoundingClientRect()]; \
               return [row.getAttribute('aria-label'), a.left - b.left, a.right - b.left]; })];",
        )
        .await?;
    let drawn = drawn.as_array().map_or(&[][..], Vec::as_slice);
    let width = drawn.first().and_then(Value::as_f64).unwrap_or(0.0);
    ensure!(width > 400.0 && drawn.len() > 10, "{width} {}", drawn.len());
    let grouped: Vec<u64> = trace["similar"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|group| group["members"].as_array().into_iter().flatten())
        .filter_map(Value::as_u64)
        .collect();
    let alone = (0..ids.len()).filter(|at| !grouped.contains(&(*at as u64)));
    for (at, row) in alone.zip(&drawn[1..]) {
        let (left, right) = (row[1].as_f64().unwrap_or(-9.0), row[2].as_f64().unwrap_or(-9.0));
        let from = number("start", at) / length * width;
        let to = (number("start", at) + number("duration", at)) / length * width;
        ensure!((left - from).abs() <= 1.0, "{row}: {left} for {from}");
        // At least two pixels wide, so that it can be seen.
        ensure!((right - to.max(left + 2.0)).abs() <= 1.0, "{row}: {right} for {to}");
    }
    Ok(())
}

pub(crate) async fn pairs_groups_and_the_path(browser: &mut Browser) -> Result<()> {
    let id = slowest(browser).await?;
    browser.open(&format!("/trace/{id}")).await?;
    browser.wait(".wf .own").await?;
    let trace = browser.ask(&format!("/view/trace/{id}")).await?;
    // The path tiles the root.
    let mut until = 0.0;
    for segment in trace["path"].as_array().into_iter().flatten() {
        let (from, to) = (segment[1].as_f64().unwrap_or(-1.0), segment[2].as_f64().unwrap_or(-1.0));
        ensure!((from - until).abs() < 0.001 && to > from, "{segment} after {until}");
        until = to;
    }
    ensure!((until - trace["whole"].as_f64().unwrap_or(0.0)).abs() < 0.001);
    // A group is one row until it is opened, a client and its server are one row until they are split.
    let rows = "return document.querySelector('.lefthead').lastChild.textContent";
    let before = browser.script(rows).await?;
    let members = trace["similar"][0]["members"].as_array().map_or(0, Vec::len);
    ensure!(members >= 20, "{members}");
    let chip = browser
        .script(
            "return [...document.querySelectorAll('.wf .chip.amber')].map((c) => c.textContent)",
        )
        .await?;
    ensure!(texts(&chip).contains(&format!("×{members} similar")), "{chip}");
    let count = |text: &Value| -> usize {
        let digits = text.as_str().unwrap_or_default().split(' ').next().unwrap_or_default();
        digits.replace(',', "").parse().unwrap_or(0)
    };
    browser.script("[...document.querySelectorAll('.wf')].find((r) => r.querySelector('.chip.amber')).querySelector('button.fold').click()").await?;
    browser
        .until(&format!(
            "Number.parseInt(document.querySelector('.lefthead').lastChild.textContent) === {}",
            count(&before) + members
        ))
        .await?;
    let pairs = trace["columns"]["pair"].as_array().into_iter().flatten();
    let pairs = pairs.filter(|other| other.as_i64().is_some_and(|other| other >= 0)).count() / 2;
    browser.press("p").await?;
    browser
        .until(&format!(
            "Number.parseInt(document.querySelector('.lefthead').lastChild.textContent) === {}",
            count(&before) + members + pairs
        ))
        .await?;
    Ok(())
}

fn texts(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
