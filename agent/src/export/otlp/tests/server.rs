//! A small OTLP server on a loopback socket that answers as a test tells it to and reports what it was sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic::codegen::Bytes;
use tower_service::Service as _;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// Takes it.
    Accept,
    /// Takes it but for so many spans.
    Partial(i64, &'static str),
    /// Answers with this HTTP status and these headers.
    Http(u16, Vec<(&'static str, &'static str)>),
    /// Answers with this gRPC status.
    Grpc(Status),
    /// Never answers.
    Hang,
    /// Closes the connection without an answer.
    Close,
}

/// What came in one request.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) headers: HeaderMap,
    pub(super) path: String,
    /// Body as it was on the wire (HTTP only).
    pub(super) body: Vec<u8>,
    /// Last byte of each span's id, in the order of the request.
    pub(super) spans: Vec<u8>,
}

/// The server. It lives until the test process ends.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    script: Arc<Mutex<VecDeque<Reply>>>,
    got: Receiver<Got>,
}

impl Server {
    /// Answers by `script`, then accepts.
    pub(super) fn start(grpc: bool, script: Vec<Reply>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), grpc, script)
    }

    pub(super) fn on(listener: TcpListener, grpc: bool, script: Vec<Reply>) -> Self {
        Self::with(listener, grpc, script, None)
    }

    /// Likewise, over TLS.
    pub(super) fn over_tls(grpc: bool, tls: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::with(listener, grpc, Vec::new(), Some(TlsAcceptor::from(Arc::new(tls))))
    }

    fn with(
        listener: TcpListener,
        grpc: bool,
        script: Vec<Reply>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let (report, got) = channel();
        let desk = Desk { script: script.clone(), report };
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, grpc, desk, tls));
        });
        Self { address, script, got }
    }

    /// The next request, within ten seconds.
    pub(super) fn next(&self) -> Got {
        self.got.recv_timeout(Duration::from_secs(10)).expect("a request comes")
    }

    /// Requests that have come and were not taken by `next`.
    pub(super) fn rest(&self) -> Vec<Got> {
        self.got.try_iter().collect()
    }

    pub(super) fn then(&self, reply: Reply) {
        self.script.lock().unwrap().push_back(reply);
    }
}

#[derive(Clone)]
struct Desk {
    script: Arc<Mutex<VecDeque<Reply>>>,
    report: Sender<Got>,
}

impl Desk {
    fn reply(&self) -> Reply {
        self.script.lock().unwrap().pop_front().unwrap_or(Reply::Accept)
    }
}

/// A connection, plain or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn serve(listener: TcpListener, grpc: bool, desk: Desk, tls: Option<TlsAcceptor>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (desk, tls) = (desk.clone(), tls.clone());
        tokio::spawn(async move {
            let stream: Box<dyn Stream> = match tls {
                None => Box::new(stream),
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            answer(TokioIo::new(stream), grpc, desk).await;
        });
    }
}

async fn answer(io: TokioIo<Box<dyn Stream>>, grpc: bool, desk: Desk) {
    if grpc {
        let service = TraceServiceServer::new(desk)
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip);
        let service = service_fn(move |request: Request<Incoming>| {
            let mut service = service.clone();
            async move { service.call(request).await }
        });
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = http.serve_connection(io, service).await;
    } else {
        let service = service_fn(move |request| http(desk.clone(), request));
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

/// An error here closes the connection.
async fn http(desk: Desk, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let plain = if parts.headers.get("content-encoding").is_some_and(|v| v == "gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
        plain
    } else {
        body.clone()
    };
    let json = parts.headers[CONTENT_TYPE] == "application/json";
    let request = if json {
        serde_json::from_slice(&plain).unwrap()
    } else {
        ExportTraceServiceRequest::decode(plain.as_slice()).unwrap()
    };
    let spans = span_ids(&request);
    let path = parts.uri.path().to_owned();
    let reply = desk.reply();
    desk.report.send(Got { headers: parts.headers, path, body, spans }).unwrap();
    let answer = |status: u16, body: Vec<u8>| {
        Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap()
    };
    Ok(match reply {
        Reply::Accept => answer(200, Vec::new()),
        Reply::Partial(rejected, message) if json => answer(
            200,
            serde_json::to_vec(&serde_json::json!({"partialSuccess": {
                "rejectedSpans": rejected.to_string(), "errorMessage": message,
            }}))
            .unwrap(),
        ),
        Reply::Partial(rejected, message) => {
            answer(200, partial(rejected, message).encode_to_vec())
        }
        Reply::Http(status, headers) => {
            let mut response = answer(status, b"words\x1b[31m of the server".to_vec());
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Reply::Hang => pending().await,
        Reply::Close | Reply::Grpc(_) => return Err("as told".to_owned()),
    })
}

#[tonic::async_trait]
impl TraceService for Desk {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let spans = span_ids(request.get_ref());
        let reply = self.reply();
        let got = Got { headers, path: String::new(), body: Vec::new(), spans };
        self.report.send(got).unwrap();
        match reply {
            Reply::Accept => Ok(tonic::Response::new(ExportTraceServiceResponse::default())),
            Reply::Partial(rejected, message) => {
                Ok(tonic::Response::new(partial(rejected, message)))
            }
            Reply::Grpc(status) => Err(status),
            Reply::Hang => {
                let never: Infallible = pending().await;
                match never {}
            }
            Reply::Close | Reply::Http(..) => panic!("the connection's task ends"),
        }
    }
}

fn partial(rejected_spans: i64, message: &str) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans,
            error_message: message.to_owned(),
        }),
    }
}

fn span_ids(request: &ExportTraceServiceRequest) -> Vec<u8> {
    let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
    scopes.flat_map(|s| &s.spans).map(|s| s.span_id[7]).collect()
}
