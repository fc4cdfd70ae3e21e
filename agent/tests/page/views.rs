//! Every view, and the ways between them.

use anyhow::{Result, ensure};
use spanwire::status::SampleServer;

use crate::browser::Browser;
use crate::shop;

/// Most nodes of the document in any view.
pub(crate) const NODES: u64 = 1_500;

/// What each view shows when it is there.
pub(crate) const VIEWS: [(&str, &str, &str); 4] = [
    ("traces", "/traces", ".list.item"),
    ("services", "/services", ".red .line[role=row]"),
    ("map", "/map", ".mapnode.service"),
    ("latency", "/latency", ".heatkey"),
];

pub(crate) async fn each_is_drawn_without_a_complaint(browser: &mut Browser) -> Result<()> {
    for theme in ["light", "dark"] {
        browser.open("/traces").await?;
        browser.script(&format!("localStorage.setItem('spanwire.theme', '{theme}')")).await?;
        for (name, path, shows) in VIEWS {
            browser.open(path).await?;
            browser.wait(shows).await?;
            browser.picture(&format!("{name}-{theme}")).await?;
            roles(browser).await?;
            let nodes = browser.script("return document.querySelectorAll('*').length").await?;
            ensure!(nodes.as_u64() <= Some(NODES), "{nodes} nodes in {name}");
        }
        let id = slowest(browser).await?;
        browser.open(&format!("/trace/{id}")).await?;
        browser.wait(".wf .own").await?;
        browser.script("document.querySelectorAll('.wf')[4].click()").await?;
        browser.wait(".panel dl").await?;
        browser.picture(&format!("trace-{theme}")).await?;
        roles(browser).await?;
        browser.script("[...document.querySelectorAll('.wf')].find((row) => row.querySelector('.chip.amber')).click()").await?;
        browser
            .until("document.querySelector('.panel .bins') && document.querySelector('.panel dl')")
            .await?;
        browser.picture(&format!("group-{theme}")).await?;
        roles(browser).await?;
        browser.press("c").await?;
        browser.wait(".compared .line .both").await?;
        browser.picture(&format!("compare-{theme}")).await?;
        browser
            .script("document.querySelector('.compared .line .both').closest('.line').click()")
            .await?;
        browser
            .until("document.querySelector('.panel dl')?.textContent.includes('user.id')")
            .await?;
        roles(browser).await?;
    }
    browser.script("localStorage.removeItem('spanwire.theme')").await?;
    browser.complaints()
}

/// Whoever comes later finds room, and nobody moves for it; whoever goes fades.
pub(crate) async fn nobody_moves_for_a_newcomer(browser: &mut Browser) -> Result<()> {
    browser.open("/map?t=1h").await?;
    browser.wait(".mapnode.service").await?;
    let places = "const all = [...document.querySelectorAll('.mapnode')].filter((n) => n.title !== 'newcomer'); \
        const at = (n) => [n.offsetLeft, n.offsetTop]; const [x, y] = at(all.find((n) => n.title === 'edge')); \
        return all.map((n) => [n.title, at(n)[0] - x, at(n)[1] - y]).sort()";
    let before = browser.script(places).await?;
    let mut request = shop::trace(3_000_000, u64::MAX, shop::now());
    request.resource_spans.truncate(1);
    request.resource_spans[0].scope_spans[0].spans.truncate(1);
    request.resource_spans[0].resource.get_or_insert_default().attributes =
        vec![shop::text("service.name", "newcomer")];
    (browser.take)(request);
    browser.wait(".mapnode[title=newcomer]").await?;
    let after = browser.script(places).await?;
    ensure!(before.as_array().is_some_and(|all| all.len() > 8), "{before}");
    ensure!(after == before, "{before}\n{after}");
    browser.complaints()
}

/// The id of the slowest trace that repeats a query.
pub(crate) async fn slowest(browser: &Browser) -> Result<String> {
    browser.open("/traces").await?;
    browser.wait(".list.item").await?;
    let found = browser.ask("/view/traces?t=1h&limit=1&sort=slowest&q=similar%3E%3D20").await?;
    let id = found["rows"][0]["id"].as_str();
    Ok(id.ok_or_else(|| anyhow::anyhow!("no trace: {found}"))?.to_owned())
}

/// What can be pressed has a name, rows are in tables, landmarks are there: the least that a reader needs.
async fn roles(browser: &Browser) -> Result<()> {
    let found = browser
        .script(
            "const named = (e) => e.textContent.trim() || e.getAttribute('aria-label') || e.title; \
             const bad = [...document.querySelectorAll('button')].filter((e) => !named(e)); \
             const lone = [...document.querySelectorAll('[role=row]')].filter((e) => !e.closest('[role=grid],[role=treegrid],[role=table]')); \
             const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); \
             const twice = ids.filter((id, at) => ids.indexOf(id) !== at); \
             const marks = ['header', 'main', '[role=search]'].filter((m) => !document.querySelector(m)); \
             return [...bad.map((e) => `no name: ${e.outerHTML.slice(0, 80)}`), ...lone.map(() => 'a row without a table'), ...twice, ...marks];",
        )
        .await?;
    ensure!(found.as_array().is_some_and(Vec::is_empty), "{found}");
    Ok(())
}

pub(crate) async fn keys_lead_everywhere(browser: &mut Browser) -> Result<()> {
    browser.open("/traces").await?;
    browser.wait(".list.item").await?;
    browser.press("j").await?;
    browser.press("j").await?;
    browser.until("document.activeElement.matches('.list.item') && [...document.querySelectorAll('.list.item')].indexOf(document.activeElement) === 1").await?;
    browser.press("\u{e007}").await?;
    browser.until("location.pathname.startsWith('/trace/')").await?;
    browser.wait(".wf").await?;
    browser.press("\u{e00c}").await?;
    browser.until("location.pathname === '/traces'").await?;
    for (key, path) in [("s", "/services"), ("m", "/map"), ("l", "/latency"), ("t", "/traces")] {
        browser.press("g").await?;
        browser.press(key).await?;
        browser.until(&format!("location.pathname === '{path}'")).await?;
    }
    browser.wait(".list.item").await?;
    browser.press("/").await?;
    browser.until("document.activeElement.id === 'q'").await?;
    // What is typed is completed from what spans have.
    browser.press("service=orders user.").await?;
    browser.wait(".pop .option").await?;
    browser.until("document.querySelector('.pop').textContent.includes('user.tier')").await?;
    browser.picture("search").await?;
    browser.press("\u{e004}").await?;
    browser.until("/user\\.(id|tier)=$/.test(document.querySelector('#q').value)").await?;
    browser
        .script("const q = document.querySelector('#q'); q.value = ''; q.dispatchEvent(new Event('input'))")
        .await?;
    browser
        .until("document.querySelector('#query .field > span')?.textContent.endsWith('/s') && document.querySelectorAll('.list.item').length > 5")
        .await?;
    // A mistake empties nothing, and says where it is.
    browser.press("service=orders duration>x").await?;
    browser.until("document.querySelector('.t-wrong')?.textContent === 'x'").await?;
    browser.until("document.querySelectorAll('.list.item').length > 5").await?;
    for _ in 0.."service=orders duration>x".len() {
        browser.press("\u{e003}").await?;
    }
    browser.press("service=orders\u{e007}").await?;
    browser.until("location.search.includes('q=service%3Dorders')").await?;
    browser
        .until("document.querySelector('#query .field > span')?.textContent.includes('match')")
        .await
}

pub(crate) async fn a_link_shows_the_same_again(browser: &mut Browser) -> Result<()> {
    let id = slowest(browser).await?;
    browser.open(&format!("/trace/{id}")).await?;
    browser.wait(".wf").await?;
    browser.script("document.querySelectorAll('.wf')[6].click()").await?;
    browser.wait(".panel dl").await?;
    browser.press("w").await?;
    browser.until("location.search.includes('w=') && location.search.includes('span=')").await?;
    let bars = "return [...document.querySelectorAll('.wf')].map((row) => row.className + row.textContent + [...row.querySelectorAll('.bars > *')].map((b) => b.style.cssText).join())";
    let before = browser.script(bars).await?;
    let address = browser.script("return location.pathname + location.search").await?;
    browser.open(address.as_str().unwrap_or_default()).await?;
    browser.wait(".panel dl").await?;
    let after = browser.script(bars).await?;
    ensure!(after == before, "{address} looks different:\n{after}\nbut it was\n{before}");
    ensure!(browser.script("return location.hash").await? == "", "the token stays in the address");
    Ok(())
}

/// What each state shows beyond its view, and that it does so whenever the address is opened.
pub(crate) async fn every_state_is_a_link(browser: &mut Browser) -> Result<()> {
    let now = shop::now() / 1_000_000;
    let t = format!("t={}..{now}", now - 600_000);
    // From 200 ms on: the failing checkouts and the time-outs.
    let latency = format!("/latency?{t}&box={},{now},200000,9000000", now - 600_000);
    for (address, shows) in [
        (format!("/traces?{t}&sort=slowest"), "document.querySelectorAll('.list.item').length > 5"),
        (
            format!("/traces?{t}&sort=failing&q=service%3Dpayments"),
            "document.querySelectorAll('.list.item.failing').length > 2",
        ),
        (format!("/traces?{t}&only=slow"), "document.querySelector('.check[aria-checked=true]')"),
        (
            format!("/services?{t}&open=orders&side=called&by=p99"),
            "document.querySelector('.red .line.operation')",
        ),
        (format!("/services?{t}&side=made"), "document.querySelector('.red .line')"),
        (
            format!("/map?{t}&node=orders"),
            "document.querySelector('.mapnode[aria-pressed=true]') && document.querySelector('.panel .factline')",
        ),
        (format!("/map?{t}&edge=orders%3Epayments"), "document.querySelector('.panel .factline')"),
        (latency, "document.querySelector('.fact') && document.querySelector('.heatbelow .item')"),
    ] {
        let mut seen = Vec::new();
        for _ in 0..2 {
            browser.open(&address).await?;
            browser.until(shows).await?;
            // Ages go on, and the keys' ranges are the same on each machine but not at each time.
            let text = "const main = document.querySelector('main').cloneNode(true); \
                main.querySelectorAll('.age').forEach((age) => age.remove()); \
                return main.textContent";
            seen.push(browser.script(text).await?);
        }
        ensure!(seen[0] == seen[1], "{address}:\n{}\n{}", seen[0], seen[1]);
    }
    browser.complaints()
}

pub(crate) async fn without_the_token_nothing_is_shown(browser: &mut Browser) -> Result<()> {
    browser.open("/traces").await?;
    browser.wait(".list.item").await?;
    browser.script("localStorage.removeItem('spanwire.token')").await?;
    browser.client.refresh().await?;
    browser.until("document.querySelector('h1')?.textContent === 'This page is private.'").await?;
    browser.picture("private").await?;
    ensure!(browser.script("return document.querySelectorAll('.list.item').length").await? == 0);
    // The printed link, pasted.
    browser
        .script(&format!("document.querySelector('.sheet input').value = '{}'", browser.link()))
        .await?;
    browser.script("document.querySelector('.sheet button').click()").await?;
    browser.wait(".list.item").await?;
    Ok(())
}

pub(crate) async fn the_first_request_appears_by_itself(browser: &mut Browser) -> Result<()> {
    let empty = SampleServer::bind(0, "ab")?;
    let (port, take) = (empty.port(), empty.taker());
    std::thread::spawn(move || empty.serve());
    browser.client.goto(&format!("http://127.0.0.1:{port}/#k=ab")).await?;
    browser.wait(".empty table").await?;
    let text = browser.script("return document.querySelector('.empty').textContent").await?;
    let text = text.as_str().unwrap_or_default();
    ensure!(text.contains("Listening. No request yet."), "{text}");
    ensure!(text.contains("curl -s http://localhost/"), "{text}");
    browser.picture("empty").await?;
    // The newest of that quarter: the oldest would leave the range while we look.
    take(shop::trace(599, 600, shop::now()));
    browser.wait(".list.item").await?;
    ensure!(browser.script("return document.querySelectorAll('.empty').length").await? == 0);
    browser.complaints()
}
