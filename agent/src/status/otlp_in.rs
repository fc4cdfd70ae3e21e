//! `--otlp-in PORT`: spans that an SDK on this host sends stand beside ours.
//!
//! OTLP over HTTP on loopback, with a port of its own: `POST /v1/traces` with protobuf or JSON, gzip or not, as every
//! exporter sends it. Any process of the host may send; none can read anything here. What is sent is bounded.
#![forbid(unsafe_code)]

use std::io;
use std::io::Read as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tonic::codegen::Bytes;

use super::connections::{self, Bounds};
use super::served::{Served, now};

/// Longest request, packed or not, bytes: the largest batch that SDKs send is a few MiB.
const LONGEST: usize = 16 << 20;
/// Exporters keep their connections between two batches.
const BOUNDS: Bounds = Bounds { at_a_time: 32, silent: Duration::from_secs(60) };

/// Takes what is sent to `listener`, until the process ends.
pub(super) async fn accept(listener: TcpListener, served: Arc<Served>) -> io::Result<()> {
    connections::accept(listener, BOUNDS, move |request| respond(served.clone(), request)).await
}

async fn respond(served: Arc<Served>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if let Some(status) = refusal(&head.method, head.uri.path(), &head.headers) {
        return answer(status, "", Vec::new());
    }
    let Ok(body) = Limited::new(body, LONGEST).collect().await else {
        return answer(StatusCode::PAYLOAD_TOO_LARGE, "", Vec::new());
    };
    let (content_type, empty) = if is_json(&head.headers) {
        ("application/json", b"{}".to_vec())
    } else {
        // An ExportTraceServiceResponse that says nothing: all of it was taken.
        ("application/x-protobuf", Vec::new())
    };
    match decode(&head.headers, &body.to_bytes()) {
        Some(spans) => {
            served.viewer().store().take(spans, now());
            answer(StatusCode::OK, content_type, empty)
        }
        None => answer(StatusCode::BAD_REQUEST, "", Vec::new()),
    }
}

/// Why a request is no export, if it is none.
fn refusal(method: &Method, path: &str, headers: &HeaderMap) -> Option<StatusCode> {
    if headers.contains_key(ORIGIN) {
        // A page in a browser is no SDK of this host.
        return Some(StatusCode::FORBIDDEN);
    }
    if path != "/v1/traces" {
        return Some(StatusCode::NOT_FOUND);
    }
    (method != Method::POST).then_some(StatusCode::METHOD_NOT_ALLOWED)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|of| of.as_bytes().starts_with(b"application/json"))
}

fn decode(headers: &HeaderMap, body: &[u8]) -> Option<ExportTraceServiceRequest> {
    let mut unpacked = Vec::new();
    let body = match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        Some(b"gzip") => {
            let limit = LONGEST as u64 + 1;
            GzDecoder::new(body).take(limit).read_to_end(&mut unpacked).ok()?;
            (unpacked.len() <= LONGEST).then_some(unpacked.as_slice())?
        }
        None | Some(b"identity") => body,
        Some(_) => return None,
    };
    if is_json(headers) {
        serde_json::from_slice(body).ok()
    } else {
        ExportTraceServiceRequest::decode(body).ok()
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if !content_type.is_empty() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::export::sample;

    fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn every_way_to_write_a_request_is_read() {
        let spans = vec![sample::outgoing(&sample::service("shop"), "sdk", 3)];
        let request = sample::request(spans);
        let protobuf = request.encode_to_vec();
        let json = serde_json::to_vec(&request).unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&protobuf).unwrap();
        let gzip = gzip.finish().unwrap();
        let read = |of: &[(&'static str, &'static str)], body: &[u8]| decode(&headers(of), body);
        let proto = ("content-type", "application/x-protobuf");
        assert_eq!(read(&[proto], &protobuf), Some(request.clone()));
        assert_eq!(read(&[("content-type", "application/json")], &json), Some(request.clone()));
        assert_eq!(read(&[proto, ("content-encoding", "gzip")], &gzip), Some(request));
        assert_eq!(read(&[proto], b"\xff\xff"), None);
        assert_eq!(read(&[proto, ("content-encoding", "br")], &protobuf), None);
        let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
        bomb.write_all(&vec![0; LONGEST + 1]).unwrap();
        assert_eq!(read(&[("content-encoding", "gzip")], &bomb.finish().unwrap()), None);
    }

    #[test]
    fn only_exports_are_taken() {
        let no = HeaderMap::new();
        assert_eq!(refusal(&Method::POST, "/v1/traces", &no), None);
        assert_eq!(refusal(&Method::GET, "/v1/traces", &no), Some(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(refusal(&Method::POST, "/v1/logs", &no), Some(StatusCode::NOT_FOUND));
        let page = headers(&[("origin", "http://localhost:7726")]);
        assert_eq!(refusal(&Method::POST, "/v1/traces", &page), Some(StatusCode::FORBIDDEN));
    }
}
