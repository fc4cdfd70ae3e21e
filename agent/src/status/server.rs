//! The child itself: told numbers by its standard input, asked for them on loopback.
//!
//! It drops its privileges before it reads or opens anything, holds only the newest snapshot, and ends when its
//! standard input does.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};
use tonic::codegen::Bytes;

use super::request::{Access, answer};
use super::unprivileged::become_unprivileged;
use super::{Listening, Order, PORT, Snapshot};

/// Connections at a time: a scraper, a person, and room for strangers who are refused.
const MOST_CONNECTIONS: usize = 32;
/// How long one connection may take, from accept to the end.
const LONGEST_CONNECTION: Duration = Duration::from_secs(10);

/// The `main` of the hidden subcommand [`super::SUBCOMMAND`]. Must be called before anything else is done in the
/// process. Returns when standard input ends.
///
/// # Errors
/// Privileges could not be dropped; the parent did not say what it must; no port.
pub fn serve() -> io::Result<()> {
    become_unprivileged()?;
    let token = match next_order()? {
        Some(Order::Token(token)) if !token.is_empty() => token,
        _ => return Err(io::Error::other("the first order must be the token")),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let port = listener.local_addr()?.port();
    let newest = Arc::new(Mutex::new(Snapshot::default()));
    let (on_end, end) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    {
        let newest = newest.clone();
        thread::spawn(move || {
            while let Ok(Some(Order::Snapshot(snapshot))) = next_order() {
                *newest.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
            }
            let _ = on_end.send(());
        });
    }
    let mut out = io::stdout();
    serde_json::to_writer(&mut out, &Listening { port })?;
    out.write_all(b"\n")?;
    out.flush()?;
    runtime.block_on(async {
        tokio::select! {
            ended = accept(listener, Arc::new(Access { port, token }), newest) => ended,
            _ = end => Ok(()),
        }
    })
}

/// The next line of standard input; `None` at its end.
fn next_order() -> io::Result<Option<Order>> {
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}

async fn accept(
    listener: TcpListener,
    access: Arc<Access>,
    newest: Arc<Mutex<Snapshot>>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of descriptors, or the peer is gone already: neither is a reason to end.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (access, newest) = (access.clone(), newest.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = respond(&access, &request, &newest);
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(5))
                .keep_alive(false)
                .max_headers(64)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(LONGEST_CONNECTION, connection).await;
            drop(place);
        });
    }
}

fn respond(
    access: &Access,
    request: &Request<Incoming>,
    newest: &Mutex<Snapshot>,
) -> Response<Full<Bytes>> {
    let snapshot = newest.lock().unwrap_or_else(PoisonError::into_inner);
    let answer =
        answer(access, request.method(), request.uri().path(), request.headers(), &snapshot);
    drop(snapshot);
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
