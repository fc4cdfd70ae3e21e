//! OTLP over HTTP/1.1, protobuf or JSON.
//!
//! Which answers may be retried is the specification's list (OTLP/HTTP "Response"): 429, 502, 503, 504, and no answer
//! at all. Redirects are not followed: a POST does not survive most of them.

use std::time::SystemTime;

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tonic::codegen::Bytes;

use super::config::{Config, Protocol};
use super::pieces::{self, Pieces};
use super::retry::{Outcome, RpcStatus, retry_after};
use super::tls::{self, chain};
use super::{TlsError, USER_AGENT};

/// Longest answer that is read. An `ExportTraceServiceResponse` is a number and a sentence.
const LONGEST_ANSWER: usize = 64 << 10;

pub(super) struct Http {
    client: reqwest::Client,
    url: String,
    headers: reqwest::header::HeaderMap,
    gzip: bool,
    json: bool,
}

impl Http {
    pub(super) fn new(config: &Config) -> Result<Self, TlsError> {
        let mut headers = reqwest::header::HeaderMap::new();
        for (name, value) in &config.headers {
            headers.insert(name.clone(), value.clone());
        }
        let json = config.protocol == Protocol::HttpJson;
        let content_type = if json { "application/json" } else { "application/x-protobuf" };
        headers.insert(CONTENT_TYPE, content_type.parse().expect("a literal is a header value"));
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(&config.tls)?)
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            // HTTP/2 would gain nothing for one request at a time, and a connection that has gone deaf is only
            // left behind by a timeout when requests do not share it.
            .http1_only()
            .build()
            .map_err(|e| TlsError::Client(chain(&e)))?;
        Ok(Self {
            client,
            url: config.endpoint.uri().to_string(),
            headers,
            gzip: config.gzip,
            json,
        })
    }

    /// What is sent for an encoded request: the body of every attempt.
    pub(super) fn body(&self, request: Bytes) -> Bytes {
        if !self.gzip {
            return request;
        }
        pieces::gzip(&request).expect("writing to memory does not fail").into()
    }

    pub(super) async fn send(&self, body: Bytes) -> Outcome {
        let body = reqwest::Body::wrap(Pieces(body));
        let mut request = self.client.post(&self.url).headers(self.headers.clone()).body(body);
        if self.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => return Outcome::Refused(chain(&error)),
            Err(error) => return Outcome::Later { why: chain(&error.without_url()), after: None },
        };
        let status = response.status().as_u16();
        let after =
            response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| {
                #[allow(
                    clippy::disallowed_methods,
                    reason = "Retry-After may be a date; this is the edge where the answer arrives"
                )]
                let now = SystemTime::now();
                retry_after(v, now)
            });
        // The head is the verdict: a success whose body was lost is not sent again.
        let answer = read(&mut response).await.unwrap_or_default();
        match status {
            200..=299 => self.accepted(&answer),
            429 | 502 | 503 | 504 => {
                Outcome::Later { why: format!("HTTP {status}{}", self.words(&answer)), after }
            }
            _ => Outcome::Refused(format!("HTTP {status}{}", self.words(&answer))),
        }
    }

    fn accepted(&self, answer: &[u8]) -> Outcome {
        let (rejected, message) = if self.json { json_answer(answer) } else { answer_of(answer) };
        Outcome::Accepted { rejected, message }
    }

    /// What the server says of an error, for the log: a `google.rpc.Status`, or text.
    fn words(&self, answer: &[u8]) -> String {
        let status = (!self.json).then(|| RpcStatus::decode(answer).ok()).flatten();
        let text = match status {
            Some(status) if !status.message.is_empty() => status.message,
            _ => String::from_utf8_lossy(answer).into_owned(),
        };
        if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
    }
}

async fn read(response: &mut reqwest::Response) -> reqwest::Result<Vec<u8>> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        answer.extend_from_slice(&chunk[..chunk.len().min(LONGEST_ANSWER - answer.len())]);
        if answer.len() == LONGEST_ANSWER {
            break;
        }
    }
    Ok(answer)
}

/// Rejected spans and the server's words. An answer that cannot be read accepts everything, as an empty one does.
fn answer_of(answer: &[u8]) -> (i64, String) {
    ExportTraceServiceResponse::decode(answer)
        .ok()
        .and_then(|r| r.partial_success)
        .map(|p| (p.rejected_spans, p.error_message))
        .unwrap_or_default()
}

fn json_answer(answer: &[u8]) -> (i64, String) {
    let json: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let partial = &json["partialSuccess"];
    // A 64-bit number is a string in OTLP/JSON; some servers send a number.
    let rejected = &partial["rejectedSpans"];
    let rejected = rejected.as_i64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
    (rejected, partial["errorMessage"].as_str().unwrap_or_default().to_owned())
}
