//! Takes connections and serves HTTP/1 on them: so many at a time, none for ever. What is answered is others' matter.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

/// How long one connection may take, from accept to the end. Whoever needs longer connects again.
const LONGEST: Duration = Duration::from_secs(600);
/// Header lines of a request.
const MOST_HEADERS: usize = 64;
/// Pause after a connection could not be taken.
const PAUSE: Duration = Duration::from_millis(50);

/// What connections may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How many at a time; the next one waits.
    pub(super) at_a_time: usize,
    /// How long one may be silent before a request's head is there.
    pub(super) silent: Duration,
}

/// Answers every request that comes on `listener` with `respond`, until the process ends.
///
/// # Errors
/// The listener cannot be waited on.
pub(super) async fn accept<Respond, Answer, B>(
    listener: TcpListener,
    bounds: Bounds,
    respond: Respond,
) -> io::Result<()>
where
    Respond: Fn(Request<Incoming>) -> Answer + Clone + Send + 'static,
    Answer: Future<Output = Response<B>> + Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(bounds.at_a_time));
    loop {
        let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, or the peer is gone already: neither is a reason to end.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let respond = respond.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = respond(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(bounds.silent)
                .max_headers(MOST_HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(LONGEST, connection).await;
            drop(place);
        });
    }
}
