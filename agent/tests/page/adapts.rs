//! The page for who cannot see it as it was drawn: a palette of the system's own, and everything twice as large.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::browser::Browser;
use crate::views::{VIEWS, slowest};

/// Marks that a background draws: each must stand out from the ground that it is on.
const MARKS: &str = "'.dot:not(.hollow)', '.seg', '.wf .own', '.wf .onpath', '.wf .cap', '.wf .net', '.histogram .column', '.key', '.fill', '.livedot', '.strip i', '.swatch', '.heatkey i:last-of-type', '.both .a', '.both .b', '.check[aria-checked=true] .box'";

/// What is chosen, of those that can be.
const CHOSEN: &str = "'.tab[aria-current=page]', '.tabs [aria-selected=true]', '.wf.selected', '.mapnode[aria-pressed=true]'";

pub(crate) async fn a_palette_of_the_systems_hides_nothing(browser: &mut Browser) -> Result<()> {
    let id = slowest(browser).await?;
    let trace = format!("/trace/{id}");
    let views = VIEWS.iter().map(|(name, path, shows)| (*name, (*path).to_owned(), *shows));
    let others = [
        ("trace", trace, ".wf .own"),
        ("failing", "/traces?sort=failing".to_owned(), ".check[aria-checked=true]"),
        ("node", "/map?node=orders".to_owned(), ".mapnode[aria-pressed=true]"),
    ];
    for scheme in ["light", "dark"] {
        let features = json!([
            { "name": "forced-colors", "value": "active" },
            { "name": "prefers-color-scheme", "value": scheme },
        ]);
        browser.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await?;
        let mut seen = Vec::new();
        for (name, path, shows) in views.clone().chain(others.clone()) {
            browser.open(&path).await?;
            browser.wait(shows).await?;
            if name == "trace" {
                browser.script("document.querySelectorAll('.wf')[4].click()").await?;
                browser.wait(".panel dl").await?;
            }
            browser.picture(&format!("forced-{name}-{scheme}")).await?;
            let found = browser
                .script(&format!(
                    "const ground = getComputedStyle(document.body).backgroundColor; \
                     const bad = [], seen = []; \
                     for (const mark of [{MARKS}]) for (const e of document.querySelectorAll(mark)) {{ \
                       const {{ backgroundColor: is, width, height }} = getComputedStyle(e); \
                       if (Number.parseFloat(width) * Number.parseFloat(height) === 0) continue; \
                       seen.push(mark); if (is === ground || is === 'rgba(0, 0, 0, 0)') bad.push(`${{mark}} ${{is}}`); }} \
                     for (const chosen of [{CHOSEN}]) for (const e of document.querySelectorAll(chosen)) {{ \
                       seen.push(chosen); if (getComputedStyle(e).outlineStyle !== 'solid') bad.push(chosen); }} \
                     for (const canvas of document.querySelectorAll('canvas')) {{ \
                       const bits = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer), colours = {{}}; \
                       for (const is of bits) colours[is] = (colours[is] || 0) + 1; \
                       seen.push('canvas'); const many = Object.values(colours).filter((n) => n > 20).length; \
                       if (many < 5) bad.push(`${{many}} colours in a picture`); }} \
                     return [matchMedia('(forced-colors: active)').matches, [...new Set(bad)], [...new Set(seen)]];"
                ))
                .await?;
            ensure!(found[0] == true, "the palette is not forced");
            ensure!(found[1] == json!([]), "{name} in {scheme}: {}", found[1]);
            seen.extend(found[2].as_array().into_iter().flatten().cloned());
        }
        for mark in [
            ".wf .own",
            ".wf .onpath",
            ".histogram .column",
            ".dot:not(.hollow)",
            ".strip i",
            ".tab[aria-current=page]",
            ".wf.selected",
            "canvas",
        ] {
            ensure!(seen.contains(&json!(mark)), "{mark} was not looked at");
        }
    }
    browser.devtools("Emulation.setEmulatedMedia", json!({ "features": [] })).await?;
    browser.complaints()
}

/// Twice as large is half as many pixels for the page.
pub(crate) async fn everything_is_there_at_twice_the_size(browser: &mut Browser) -> Result<()> {
    let id = slowest(browser).await?;
    let sizes = json!({ "width": 720, "height": 450, "deviceScaleFactor": 2, "mobile": false });
    browser.devtools("Emulation.setDeviceMetricsOverride", sizes).await?;
    let trace = format!("/trace/{id}");
    let views = VIEWS.iter().map(|(name, path, shows)| (*name, *path, *shows));
    for (name, path, shows) in views.chain([("trace", trace.as_str(), ".wf .own")]) {
        browser.open(path).await?;
        browser.wait(shows).await?;
        browser.picture(&format!("zoomed-{name}")).await?;
        let found = browser
            .script(
                "const bad = []; \
                 if (innerWidth !== 720) bad.push(`${innerWidth} wide`); \
                 if (document.documentElement.scrollWidth > innerWidth) bad.push(`${document.documentElement.scrollWidth} to scroll`); \
                 for (const e of document.querySelectorAll('#bar button, #query input, #query button, .tracehead button, .tools button, .mapfoot button')) { \
                   const { left, right, top, bottom, width } = e.getBoundingClientRect(); \
                   if (width && (left < 0 || right > innerWidth + 1 || top < 0)) bad.push(`${e.textContent || e.title} at ${left}..${right}`); \
                   const on = width && document.elementFromPoint((left + right) / 2, (top + bottom) / 2); \
                   if (width && bottom < innerHeight && !e.contains(on) && !on?.contains(e)) bad.push(`${e.textContent || e.title} is covered by ${on?.className}`); \
                 } \
                 const main = document.querySelector('main').getBoundingClientRect(); \
                 if (main.height < 200) bad.push(`${main.height} for the view`); \
                 return bad;",
            )
            .await?;
        ensure!(found == json!([]), "{name}: {found}");
    }
    browser.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await?;
    browser.complaints()
}
