//! The server: what generated code would lead to the methods, written by hand.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::{Bytes, http, tokio_stream};
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status, Streaming};
use tower::service_fn;

use crate::SERVICE;
use crate::codec::Raw;

/// Serves until it is killed.
pub(crate) async fn run(address: SocketAddr) -> anyhow::Result<()> {
    Server::builder().serve(address, service_fn(serve)).await?;
    Ok(())
}

async fn serve(request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
    let mut grpc = Grpc::new(Raw);
    let path = request.uri().path().to_owned();
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE));
    Ok(match method.unwrap_or_default() {
        "/Echo" => grpc.unary(service_fn(echo), request).await,
        "/Refuse" => grpc.unary(service_fn(refuse), request).await,
        "/Sleep" => grpc.unary(service_fn(sleep), request).await,
        "/Collect" => grpc.client_streaming(service_fn(collect), request).await,
        "/Count" => grpc.server_streaming(service_fn(count), request).await,
        "/Chat" => grpc.streaming(service_fn(chat), request).await,
        // As generated code has it: without a message.
        _ => Status::unimplemented("").into_http(),
    })
}

async fn echo(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    Ok(Response::new(request.into_inner()))
}

async fn refuse(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    let code = number(request.get_ref())?;
    let known = Code::from(i32::try_from(code).unwrap_or(-1));
    Err(Status::new(known, format!("refused: é {code}")))
}

async fn sleep(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    tokio::time::sleep(Duration::from_millis(number(request.get_ref())?)).await;
    Ok(Response::new(request.into_inner()))
}

async fn collect(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let mut requests = request.into_inner();
    let mut messages = 0;
    while requests.message().await?.is_some() {
        messages += 1;
    }
    Ok(Response::new(messages.to_string().into()))
}

/// What is streamed when all is known beforehand.
type Known = tokio_stream::Iter<std::vec::IntoIter<Result<Bytes, Status>>>;

async fn count(request: Request<Bytes>) -> Result<Response<Known>, Status> {
    let answers: Vec<_> =
        (0..number(request.get_ref())?).map(|i| Ok(Bytes::from(i.to_string()))).collect();
    Ok(Response::new(tokio_stream::iter(answers)))
}

async fn chat(request: Request<Streaming<Bytes>>) -> Result<Response<Streaming<Bytes>>, Status> {
    Ok(Response::new(request.into_inner()))
}

/// The number that a request begins with.
fn number(request: &[u8]) -> Result<u64, Status> {
    let word = request.split(|byte| *byte == b' ').next().unwrap_or_default();
    let number = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
    number.ok_or_else(|| Status::invalid_argument("the request does not begin with a number"))
}
