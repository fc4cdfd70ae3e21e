//! The child itself: told numbers and spans by its standard input, asked for them on loopback.
//!
//! It drops its privileges before it reads or opens anything, keeps what it is told in bounded memory, and ends when its
//! standard input does. What takes a moment to compute is computed beside the thread that listens.
#![forbid(unsafe_code)]

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tokio::sync::oneshot;

use super::connections::{self, Bounds};
use super::frame::{Message, Start};
use super::keep::{keep, store_file};
use super::request::{self, Wanted};
use super::response::{Body, response};
use super::served::{SETTLED, Served, now};
use super::unprivileged::become_unprivileged;
use super::{Listening, PORT, news, otlp_in};
use crate::courtesy;
use crate::viewer::{Disk, DiskLimits, Limits, Viewer};

/// A scraper, a few pages with a few connections each, and room for strangers who are refused.
const BOUNDS: Bounds = Bounds { at_a_time: 64, silent: Duration::from_secs(10) };

/// The `main` of the hidden subcommand [`super::SUBCOMMAND`]. Must be called before anything else is done in the
/// process. Returns when standard input ends.
///
/// With `store` traces are kept in that file, too: it is opened before privileges are dropped.
///
/// # Errors
/// Privileges could not be dropped; the parent did not say what it must; no port; the file is no store.
pub fn serve(store: Option<&Path>) -> io::Result<()> {
    let file = become_unprivileged(|| store.map(store_file).transpose())?;
    let mut orders = BufReader::with_capacity(1 << 16, io::stdin());
    let Start { token, otlp_in, memory } = match Message::read(&mut orders)? {
        Some(Message::Start(start)) if !start.token.is_empty() => start,
        _ => return Err(io::Error::other("the first order must be the token")),
    };
    let otlp_in = match otlp_in {
        Some(port) => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
            io::Error::new(error.kind(), format!("port {port} for OTLP: {error}"))
        })?),
        None => None,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let port = listener.local_addr()?.port();
    let limits = memory.map_or_else(Limits::default, Limits::mebibytes);
    let served = Arc::new(Served::new(port, token, limits));
    if let Some(file) = file {
        keep(Disk::open(file, DiskLimits::default())?, &served)?;
    }
    let (on_end, end) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    {
        let served = served.clone();
        thread::spawn(move || {
            let viewer = served.viewer();
            listen(&mut orders, viewer);
            // What has not settled never will.
            viewer.store().tick(now() + SETTLED);
            viewer.save(now());
            let _ = on_end.send(());
        });
    }
    let mut out = io::stdout();
    serde_json::to_writer(&mut out, &Listening { port })?;
    out.write_all(b"\n")?;
    out.flush()?;
    runtime.block_on(async {
        if let Some(listener) = otlp_in {
            tokio::spawn(otlp_in::accept(listener, served.clone()));
        }
        tokio::select! {
            ended = accept(listener, served) => ended,
            _ = end => Ok(()),
        }
    })
}

/// Takes what the agent says until it says no more.
fn listen(orders: &mut impl Read, viewer: &Viewer) {
    loop {
        match Message::read(orders) {
            Ok(Some(Message::Spans(spans))) => match ExportTraceServiceRequest::decode(&*spans) {
                Ok(spans) => {
                    viewer.store().take(spans, now());
                    courtesy::offer();
                }
                Err(_) => return,
            },
            Ok(Some(Message::Snapshot(snapshot))) => viewer.set_snapshot(snapshot, now()),
            Ok(Some(Message::Host(host))) => viewer.set_host(host),
            Ok(Some(Message::Start(_)) | None) | Err(_) => return,
        }
    }
}

/// Answers who asks on `listener`, until the process ends.
pub(super) async fn accept(listener: TcpListener, served: Arc<Served>) -> io::Result<()> {
    tokio::spawn(tick(served.clone()));
    connections::accept(listener, BOUNDS, move |request| respond(served.clone(), request)).await
}

/// Traces settle while nothing comes, too: often enough for each update to have what is new.
async fn tick(served: Arc<Served>) {
    let mut every = tokio::time::interval(served.pace / 2);
    loop {
        every.tick().await;
        served.viewer().store().tick(now());
    }
}

async fn respond(served: Arc<Served>, request: Request<Incoming>) -> Response<Body> {
    let uri = request.uri();
    let path = uri.path().to_owned();
    let query = uri.query().unwrap_or_default().to_owned();
    match request::wanted(served.access(), request.method(), &path, request.headers()) {
        Wanted::Answer(answer) => response(answer),
        Wanted::Live => news::stream(&served, &query),
        Wanted::Data => {
            let computed = tokio::task::spawn_blocking(move || {
                request::data(served.viewer(), &path, &query, now())
            });
            match computed.await {
                Ok(answer) => response(answer),
                Err(_) => response(request::text(
                    hyper::StatusCode::INTERNAL_SERVER_ERROR,
                    "the answer could not be computed\n",
                )),
            }
        }
    }
}
