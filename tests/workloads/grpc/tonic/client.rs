//! The client: all calls on one connection, a line for each.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Bytes, tokio_stream};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::SERVICE;
use crate::codec::Raw;

/// What a call was answered.
type Outcome = Result<Vec<Bytes>, Status>;

/// A connection to a server.
#[derive(Clone)]
pub(crate) struct Client(Grpc<Channel>);

/// Connects to `HOST:PORT`.
pub(crate) async fn connect(address: &str) -> anyhow::Result<Client> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    Ok(Client(Grpc::new(channel)))
}

impl Client {
    /// One call of each sort.
    pub(crate) async fn tour(self, traceparent: Option<&str>) -> anyhow::Result<()> {
        tell("Echo", &self.unary("Echo", "0123456789".repeat(10)).await);
        tell("Echo", &self.unary("Echo", "0123456789".repeat(20_000)).await);
        tell("Refuse", &self.unary("Refuse", "5").await);
        tell("Refuse", &self.unary("Refuse", "13").await);
        tell("Collect", &self.collect(messages(5)).await);
        tell("Count", &self.count("7").await);
        tell("Chat", &self.chat(messages(3)).await);
        tell("Sleep", &self.past_its_deadline().await);
        tell("Sleep", &self.cancelled().await);
        tell("Missing", &self.unary("Missing", "").await);
        if let Some(traceparent) = traceparent {
            let mut request = Request::new(Bytes::from("traced"));
            request.metadata_mut().insert("traceparent", traceparent.parse()?);
            tell("Echo", &self.ask("Echo", request).await);
        }
        Ok(())
    }

    /// Calls that carry their number, as fast as they are answered.
    pub(crate) async fn load(self, calls: usize, at_a_time: usize) -> anyhow::Result<()> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut working = JoinSet::new();
        for _ in 0..at_a_time {
            let (client, next) = (self.clone(), Arc::clone(&next));
            working.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= calls {
                        break;
                    }
                    client.call(number).await;
                }
            });
        }
        while let Some(ended) = working.join_next().await {
            ended?;
        }
        Ok(())
    }

    async fn call(&self, number: usize) {
        let (method, outcome) = match number % 3 {
            0 => ("Echo", self.unary("Echo", format!("call {number}")).await),
            1 => ("Refuse", self.unary("Refuse", format!("5 call {number}")).await),
            _ => ("Count", self.count(format!("3 call {number}")).await),
        };
        let mut line = line(method, &outcome);
        line["number"] = number.into();
        println!("{line}");
    }

    async fn unary(&self, method: &str, request: impl Into<Bytes>) -> Outcome {
        self.ask(method, Request::new(request.into())).await
    }

    async fn ask(&self, method: &str, request: Request<Bytes>) -> Outcome {
        let answer = self.ready().await?.unary(request, path(method), Raw).await?;
        Ok(vec![answer.into_inner()])
    }

    async fn collect(&self, requests: Vec<Bytes>) -> Outcome {
        let requests = Request::new(tokio_stream::iter(requests));
        let answer = self.ready().await?.client_streaming(requests, path("Collect"), Raw).await?;
        Ok(vec![answer.into_inner()])
    }

    async fn count(&self, request: impl Into<Bytes>) -> Outcome {
        let request = Request::new(request.into());
        let answers = self.ready().await?.server_streaming(request, path("Count"), Raw).await?;
        rest(answers.into_inner()).await
    }

    /// Each request is sent when the one before has been answered.
    async fn chat(&self, requests: Vec<Bytes>) -> Outcome {
        let (sender, receiver) = mpsc::channel(1);
        let receiver = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let mut grpc = self.ready().await?;
        let early = |_| Status::aborted("the call ended too early");
        let mut requests = requests.into_iter();
        // A server may hold back even the head of its answers until the first of them.
        if let Some(first) = requests.next() {
            sender.send(first).await.map_err(early)?;
        }
        let call = grpc.streaming(Request::new(receiver), path("Chat"), Raw);
        let mut answers = call.await?.into_inner();
        let mut told = Vec::from_iter(answers.message().await?);
        for request in requests {
            sender.send(request).await.map_err(early)?;
            told.extend(answers.message().await?);
        }
        drop(sender);
        told.extend(rest(answers).await?);
        Ok(told)
    }

    /// A call that the client ends: the message is its own then, and not told.
    async fn past_its_deadline(&self) -> Outcome {
        let mut request = Request::new(Bytes::from("2000"));
        request.set_timeout(Duration::from_millis(200));
        self.ask("Sleep", request).await.map_err(|status| Status::new(status.code(), ""))
    }

    /// To drop a call is to cancel it; there is nobody then to tell the status.
    async fn cancelled(&self) -> Outcome {
        let call = self.unary("Sleep", "2000");
        let ended = tokio::time::timeout(Duration::from_millis(100), call).await;
        ended.unwrap_or_else(|_| Err(Status::cancelled("")))
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = self.0.clone();
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/{SERVICE}/{method}").parse().expect("a method's path is a path")
}

fn messages(count: usize) -> Vec<Bytes> {
    (0..count).map(|i| format!("message {i}").into()).collect()
}

/// Everything that is still to come.
async fn rest(mut stream: Streaming<Bytes>) -> Outcome {
    let mut all = Vec::new();
    while let Some(answer) = stream.message().await? {
        all.push(answer);
    }
    Ok(all)
}

fn tell(method: &str, outcome: &Outcome) {
    println!("{}", line(method, outcome));
}

/// The line of a call that ended. A long answer is told by its SHA-256.
fn line(method: &str, outcome: &Outcome) -> Json {
    let (code, message, answers) = match outcome {
        Ok(answers) => (Code::Ok, "", &answers[..]),
        Err(status) => (status.code(), status.message(), &[][..]),
    };
    let answers: Vec<String> = answers.iter().map(|answer| shown(answer)).collect();
    json!({
        "method": format!("{SERVICE}/{method}"),
        "status": name(code),
        "message": message,
        "answers": answers,
    })
}

fn shown(answer: &[u8]) -> String {
    if answer.len() <= 100 {
        return String::from_utf8_lossy(answer).into_owned();
    }
    Sha256::digest(answer).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The code's name as the specification has it; tonic has its own.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
