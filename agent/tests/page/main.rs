//! The viewer's page in a real browser, over invented traces: what is drawn against what the spans say.
//!
//! Needs Debian's `chromium` and `chromium-driver`, else all of it is skipped, which is said. Each view's picture is
//! left in `target/tmp/page/`, to be looked at. Run without libtest, since all tests share one browser.

#[path = "../../examples/viewer/shop.rs"]
mod shop;

mod adapts;
mod browser;
mod budget;
mod clocks;
mod hostile;
mod live;
mod numbers;
mod states;
mod underway;
mod views;
mod waterfall;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::browser::Browser;

/// These go on beside others.
const IDLE: &str = "budget::an_idle_page_rests";
const STILL: &str = "live::nothing_moves_under_the_pointer";

/// Runs one after the other those that are wanted; says how many passed. The first failure ends it.
macro_rules! run {
    ($browser:expr, $wanted:expr, $($test:path),* $(,)?) => {{
        let mut passed = 0;
        $(if stringify!($test).contains($wanted) {
            $test($browser).await.map_err(|error| error.context(stringify!($test)))?;
            println!("test {} ... ok", stringify!($test));
            passed += 1;
        })*
        passed
    }};
}

fn main() -> ExitCode {
    // What `cargo test` may be given besides a filter is libtest's.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(anyhow::Error::new).and_then(|runtime| {
        runtime.block_on(async {
            let Some(mut browser) = Browser::start().await? else {
                println!("test page ... ignored, chromium and chromedriver are not installed");
                return Ok((0, 1));
            };
            let done = all(&mut browser, wanted.as_deref().unwrap_or_default()).await;
            browser.end().await?;
            Ok((done?, 0))
        })
    });
    // As libtest ends, so that whoever counts tests counts these.
    match done {
        Ok((passed, ignored)) => {
            println!(
                "\ntest result: ok. {passed} passed; 0 failed; {ignored} ignored; 0 measured; 0 filtered out"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("\nfailures:\n{error:?}\n");
            println!(
                "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out"
            );
            ExitCode::FAILURE
        }
    }
}

async fn all(browser: &mut Browser, wanted: &str) -> Result<u32> {
    let passed = run!(
        browser,
        wanted,
        views::each_is_drawn_without_a_complaint,
        views::keys_lead_everywhere,
        views::nobody_moves_for_a_newcomer,
        views::a_link_shows_the_same_again,
        views::every_state_is_a_link,
        views::without_the_token_nothing_is_shown,
        views::the_first_request_appears_by_itself,
        waterfall::bars_are_where_the_spans_are,
        waterfall::pairs_groups_and_the_path,
        underway::what_is_open_is_shown_until_its_end,
        clocks::impossible_times_are_moved_and_it_is_said,
        numbers::percentiles_are_those_of_the_spans,
        numbers::parts_of_a_difference_add_up,
        hostile::text_stays_text,
        states::what_sampling_left_out_is_counted,
        states::losses_are_told_as_they_happen,
        states::lost_bytes_are_hatched_where_they_were,
        states::repeated_calls_are_compared_with_the_typical,
        states::many_leaves_are_one_node,
        adapts::a_palette_of_the_systems_hides_nothing,
        adapts::everything_is_there_at_twice_the_size,
        budget::long_traces_stay_light,
        budget::longer_ones_are_laid_out_in_slices,
        budget::a_page_is_there_at_once,
    );
    let passed = passed + waiting(browser, wanted).await?;
    browser.complaints()?;
    Ok(passed)
}

/// Tests that wait do it at the same time: idle pages and a list that stands still are in windows of their own.
async fn waiting(browser: &mut Browser, wanted: &str) -> Result<u32> {
    let is_wanted = |name: &str| name.contains(wanted);
    let mut passed = 0;
    let idle = match is_wanted(IDLE) {
        true => Some(budget::Idle::begin(browser).await.context(IDLE)?),
        false => None,
    };
    let pointed = match is_wanted(STILL) {
        true => Some(live::PointedAt::begin(browser).await.context(STILL)?),
        false => None,
    };
    passed += run!(
        browser,
        wanted,
        live::a_refresh_takes_nothing_out_of_a_hand,
        budget::an_open_page_does_not_grow,
    );
    if let Some(pointed) = pointed {
        pointed.nothing_moves_under_the_pointer(browser).await.context(STILL)?;
        println!("test {STILL} ... ok");
        passed += 1;
    }
    if let Some(idle) = idle {
        idle.rests(browser).await.context(IDLE)?;
        println!("test {IDLE} ... ok");
        passed += 1;
    }
    Ok(passed)
}
