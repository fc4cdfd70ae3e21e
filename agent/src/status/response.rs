//! What stands around every answer: headers that let a browser do with it what the page needs, and nothing else.
#![forbid(unsafe_code)]

use std::convert::Infallible;

use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::Response;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use tonic::codegen::Bytes;

use super::request::Answer;

/// All at once, or piece by piece.
pub(super) type Body = Either<Full<Bytes>, Channel<Bytes, Infallible>>;

/// The page's own files and nothing else; no text becomes markup or script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// An answer as a response.
pub(super) fn response(answer: Answer) -> Response<Body> {
    let body = match answer.body {
        std::borrow::Cow::Borrowed(body) => Bytes::from_static(body),
        std::borrow::Cow::Owned(body) => Bytes::from(body),
    };
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = answer.status;
    protect(&mut response, answer.content_type);
    if answer.is_gzip {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if matches!(answer.status.as_u16(), 401 | 403) {
        // Strangers must not hold a connection.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Lines of JSON, as they come.
pub(super) fn lines(body: Channel<Bytes, Infallible>) -> Response<Body> {
    let mut response = Response::new(Either::Right(body));
    protect(&mut response, "application/x-ndjson");
    response
}

fn protect(response: &mut Response<Body>, content_type: &'static str) {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        // The files are small, near, and change with the agent.
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
