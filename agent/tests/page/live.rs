//! New requests while somebody looks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use fantoccini::actions::{InputSource as _, MouseActions, PointerAction};

use crate::browser::Browser;
use crate::shop;

/// How long the list must stand still. The design asks for ten seconds at two hundred requests a second.
const STILL: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(100);
const AT_ONCE: u64 = 20;

pub(crate) async fn nothing_moves_under_the_pointer(browser: &mut Browser) -> Result<()> {
    browser.open("/traces").await?;
    let row = browser.wait(".list.item:nth-child(3)").await?;
    let pointer = MouseActions::new("mouse".to_owned()).then(PointerAction::MoveToElement {
        element: row,
        duration: None,
        x: 5.0,
        y: 5.0,
    });
    browser.client.perform_actions(pointer).await?;
    let list = "return [...document.querySelectorAll('.list.item')].slice(0, 20).map((row) => row.children[1].textContent + row.children[4].textContent)";
    let before = browser.script(list).await?;
    let take = std::mem::replace(&mut browser.take, Box::new(|_| {}));
    let take = Arc::new(Mutex::new(take));
    let over = Arc::new(AtomicBool::new(false));
    let feeding = {
        let (take, over) = (take.clone(), over.clone());
        std::thread::spawn(move || {
            for round in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                for number in 0..AT_ONCE {
                    let request =
                        shop::trace(1_000_000 + round * AT_ONCE + number, u64::MAX, shop::now());
                    if let Ok(take) = take.lock() {
                        take(request);
                    }
                }
                std::thread::sleep(EVERY);
            }
        })
    };
    browser.until("document.querySelector('.tools .chip.blue:not([hidden])')?.textContent.includes('new')").await?;
    tokio::time::sleep(STILL).await;
    let after = browser.script(list).await?;
    let held =
        browser.script("return document.querySelector('.tools .chip.blue').textContent").await?;
    browser.picture("live").await?;
    // Taken when it is asked for.
    browser.press(".").await?;
    browser.until("document.querySelector('.tools .chip.blue').hidden || Number.parseInt(document.querySelector('.tools .chip.blue').textContent) < 600").await?;
    let taken = browser.script(list).await?;
    over.store(true, Ordering::Relaxed);
    let _ = feeding.join();
    if let Ok(mutex) = Arc::try_unwrap(take) {
        browser.take = mutex.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    }
    ensure!(after == before, "the list moved under the pointer");
    ensure!(taken != before, "what was new did not come when it was asked for: {held}");
    Ok(())
}
