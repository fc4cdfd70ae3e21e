//! New requests while somebody looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};
use fantoccini::actions::{InputSource as _, MOUSE_BUTTON_LEFT, MouseActions, PointerAction};
use fantoccini::wd::WindowHandle;
use serde_json::Value;
use tokio::time::Instant;

use crate::browser::{Browser, PACE, Server};
use crate::shop;

/// How long the list must stand still. The design asks for ten seconds at two hundred requests a second.
const STILL: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(100);
const AT_ONCE: u64 = 20;
/// What stands in the list.
const LIST: &str = "return [...document.querySelectorAll('.list.item')].slice(0, 20).map((row) => row.children[1].textContent + row.children[4].textContent)";

/// A list that somebody points at, in a window of its own: it stands still while other tests go on.
pub(crate) struct PointedAt {
    window: WindowHandle,
    since: Instant,
    before: Value,
    feeding: Option<JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl PointedAt {
    pub(crate) async fn begin(browser: &Browser) -> Result<Self> {
        let server = Server::start(PACE)?;
        shop::quarter(600).for_each(&server.take);
        let main = browser.client.window().await?;
        let window = browser.client.new_window(false).await?.handle;
        browser.client.switch_to_window(window.clone()).await?;
        browser.visit(&server, "/traces").await?;
        let row = browser.wait(".list.item:nth-child(3)").await?;
        let pointer = MouseActions::new("mouse".to_owned()).then(PointerAction::MoveToElement {
            element: row,
            duration: None,
            x: 5.0,
            y: 5.0,
        });
        browser.client.perform_actions(pointer).await?;
        let before = browser.script(LIST).await?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let feeding = std::thread::spawn(move || {
            for round in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                for number in 0..AT_ONCE {
                    let number = 1_000_000 + round * AT_ONCE + number;
                    (server.take)(shop::trace(number, u64::MAX, shop::now()));
                }
                std::thread::sleep(EVERY);
            }
        });
        browser.until("document.querySelector('.tools .pending:not([hidden])')?.textContent.includes('new')").await?;
        browser.client.switch_to_window(main).await?;
        let feeding = Some(feeding);
        Ok(Self { window, since: Instant::now(), before, feeding, is_over })
    }

    pub(crate) async fn nothing_moves_under_the_pointer(mut self, browser: &Browser) -> Result<()> {
        tokio::time::sleep_until(self.since + STILL).await;
        let main = browser.client.window().await?;
        browser.client.switch_to_window(self.window.clone()).await?;
        ensure!(browser.script("return document.hidden").await? == false, "the window is hidden");
        let after = browser.script(LIST).await?;
        let held =
            browser.script("return document.querySelector('.tools .pending').textContent").await?;
        browser.picture("live").await?;
        // Taken when it is asked for.
        browser.press(".").await?;
        browser.until("document.querySelector('.tools .pending').hidden || Number.parseInt(document.querySelector('.tools .pending').textContent) < 600").await?;
        let taken = browser.script(LIST).await?;
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.feeding.take().map(JoinHandle::join);
        ensure!(after == self.before, "the list moved under the pointer");
        ensure!(taken != self.before, "what was new did not come when it was asked for: {held}");
        browser.client.close_window().await?;
        browser.client.switch_to_window(main).await?;
        Ok(())
    }
}

impl Drop for PointedAt {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Refreshes that what somebody holds has to outlive.
const REFRESHES: u64 = 2;
/// Answers of one kind that have come.
const ANSWERS: &str =
    "performance.getEntriesByType('resource').filter((e) => e.responseEnd && e.name.includes";

/// What is drawn again every few seconds leaves alone what somebody has the focus on, and a range that is being dragged.
pub(crate) async fn a_refresh_takes_nothing_out_of_a_hand(browser: &mut Browser) -> Result<()> {
    browser.open("/traces").await?;
    browser.wait(".list.item").await?;
    for held in ["#bar .tab:nth-child(2)", ".tools .tabs button", ".rail .check:last-of-type"] {
        browser.script(&format!("document.querySelector('{held}').focus()")).await?;
        refreshed(browser, "/view/traces", 1).await?;
        let has = format!("return document.activeElement === document.querySelector('{held}')");
        ensure!(browser.script(&has).await? == true, "{held} has lost the focus");
    }

    let bars = browser.wait(".histogram .bars").await?;
    let to = |x| PointerAction::MoveToElement { element: bars.clone(), duration: None, x, y: 0.0 };
    let drag = MouseActions::new("mouse".to_owned())
        .then(to(-80.0))
        .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
        .then(to(80.0));
    browser.client.perform_actions(drag).await?;
    refreshed(browser, "/view/host", REFRESHES).await?;
    let width = browser.script("return document.querySelector('.dragged')?.clientWidth").await?;
    ensure!(width == 160, "of the range that is dragged there is left {width}");
    let end = MouseActions::new("mouse".to_owned())
        .then(to(80.0))
        .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
    browser.client.perform_actions(end).await?;
    browser.until("new URLSearchParams(location.search).get('t')?.includes('..')").await?;
    browser.until("!document.querySelector('.dragged')").await
}

/// Until so many more answers of one kind are there, and drawn.
async fn refreshed(browser: &Browser, kind: &str, count: u64) -> Result<()> {
    let answers = format!("{ANSWERS}('{kind}')).length");
    let before = browser.script(&format!("return {answers}")).await?.as_u64().unwrap_or(0);
    browser.until(&format!("{answers} >= {}", before + count)).await?;
    browser.frames("", 2).await
}
