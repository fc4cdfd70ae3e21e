//! OTLP over gRPC: tonic's client over hyper, with the same TLS as the HTTP transport.
//!
//! The request is encoded once by us and goes out as those bytes: an attempt costs no second encoding and no copy.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::header::{HeaderValue, USER_AGENT as USER_AGENT_HEADER};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use tonic::client::Grpc as GrpcClient;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::Bytes;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::config::Config;
use super::retry::{Outcome, retry_info};
use super::tls::{self, chain};
use super::{TlsError, USER_AGENT};

/// The method of the OTLP trace service.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

pub(super) struct Grpc {
    client: GrpcClient<Wire>,
    metadata: MetadataMap,
    timeout: Duration,
}

impl Grpc {
    pub(super) fn new(config: &Config) -> Result<Self, TlsError> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(&config.tls)?)
            .https_or_http()
            .enable_http2()
            .build();
        let http = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            // A connection that has gone deaf is noticed while a request waits on it, so that the next attempt
            // takes a new one.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .build(connector);
        let mut client = GrpcClient::with_origin(Wire { http }, config.endpoint.uri().clone());
        if config.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        client = client.accept_compressed(CompressionEncoding::Gzip);
        let headers = config.headers.iter().cloned().collect();
        Ok(Self { client, metadata: MetadataMap::from_headers(headers), timeout: config.timeout })
    }

    pub(super) async fn send(&mut self, body: Bytes) -> Outcome {
        if self.client.ready().await.is_err() {
            return Outcome::Later { why: "the connection is not ready".to_owned(), after: None };
        }
        let mut request =
            tonic::Request::from_parts(self.metadata.clone(), tonic::Extensions::default(), body);
        request.set_timeout(self.timeout);
        match self.client.unary(request, PathAndQuery::from_static(EXPORT), Encoded).await {
            Ok(response) => {
                let partial = response.into_inner().partial_success.unwrap_or_default();
                Outcome::Accepted {
                    rejected: partial.rejected_spans,
                    message: partial.error_message,
                }
            }
            Err(status) => verdict(&status),
        }
    }
}

/// The specification's table of codes (OTLP/gRPC "Failures").
fn verdict(status: &Status) -> Outcome {
    let after = retry_info(status.details());
    let why = format!("gRPC {:?}: {}", status.code(), status.message());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Outcome::Later { why, after },
        // Without the hint it means a quota that no waiting fills.
        Code::ResourceExhausted if after.is_some() => Outcome::Later { why, after },
        _ => Outcome::Refused(why),
    }
}

/// hyper's client as the service tonic wants: it adds our name, which tonic would strip from metadata, and makes
/// "no answer" a status that may be retried.
#[derive(Clone)]
struct Wire {
    http: Client<HttpsConnector<HttpConnector>, tonic::body::Body>,
}

impl tower_service::Service<Request<tonic::body::Body>> for Wire {
    type Response = Response<hyper::body::Incoming>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<tonic::body::Body>) -> Self::Future {
        request.headers_mut().insert(USER_AGENT_HEADER, HeaderValue::from_static(USER_AGENT));
        let answer = self.http.request(request);
        Box::pin(async move { answer.await.map_err(|e| Status::unavailable(chain(&e))) })
    }
}

/// Requests are encoded already; answers are decoded.
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ExportTraceServiceResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ExportTraceServiceResponse;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        // The server has said OK: an answer that cannot be read accepts everything, as an empty one does.
        let answer = from.copy_to_bytes(from.remaining());
        Ok(Some(ExportTraceServiceResponse::decode(answer).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_retried_as_the_specification_says() {
        for code in (0..=16).map(Code::from_i32) {
            let retried = matches!(verdict(&Status::new(code, "x")), Outcome::Later { .. });
            assert_eq!(retried, matches!(code as i32, 1 | 4 | 10 | 11 | 14 | 15), "{code:?}");
        }
    }
}
