//! `/view/live`: a line of JSON whenever traces have settled, for as long as the page listens.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use http_body_util::channel::Channel;
use hyper::{Response, StatusCode};
use tonic::codegen::Bytes;

use super::request::{json, text};
use super::response::{Body, lines, response};
use super::served::{Served, now};
use crate::viewer::Live;

/// Without news for so long one says that the line is alive.
const PING: Duration = Duration::from_secs(10);

/// Starts telling.
pub(super) fn stream(served: &Arc<Served>, query: &str) -> Response<Body> {
    let Some(place) = served.live() else {
        return response(text(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n"));
    };
    let mut live = match Live::new(served.viewer(), query, now()) {
        Ok(live) => live,
        Err(refused) => return response(json(refused.status, &refused.body)),
    };
    let (mut to, body) = Channel::new(4);
    let served = served.clone();
    tokio::spawn(async move {
        let _place = place;
        let mut every = tokio::time::interval(served.pace);
        let mut quiet = PING;
        loop {
            every.tick().await;
            let news = live.next(served.viewer(), now());
            quiet += served.pace;
            if news.is_none() && quiet < PING {
                continue;
            }
            quiet = Duration::ZERO;
            let news = news.unwrap_or_else(|| serde_json::json!({ "ping": now().to_string() }));
            if to.send_data(Bytes::from(news.to_string() + "\n")).await.is_err() {
                return;
            }
        }
    });
    lines(body)
}
