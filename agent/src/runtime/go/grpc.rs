//! grpc-go in a program: which version, where its structs have what the probes read, and at which instructions these are put.
//!
//! Layouts are those that its debugging information tells, else those of the table that `cargo xtask go-offsets` writes. What the probes find by them must be a socket's record each
//! time, or nothing is said.

use std::sync::LazyLock;

use abi::runtime::GoGrpc;

use super::{
    binary::Binary,
    code::Code,
    dwarf::{Members, within},
    functions::Functions,
    releases::{self, Release, layout, release},
    source::{Source, choose},
};
use crate::runtime::traps::{Place, Trap};

const MODULE: &str = "google.golang.org/grpc";
/// The package with its structs.
const PACKAGE: &str = "google.golang.org/grpc/internal/transport.";
/// Its functions that are looked at: the first tells who opens a stream, the second who serves one.
const NEW_STREAM: &str = "google.golang.org/grpc/internal/transport.(*http2Client).NewStream";
const HANDLE_STREAM: &str = "google.golang.org/grpc.(*Server).handleStream";
/// The first method of the transport of a server with a connection of its own.
const CLOSE: &str = "google.golang.org/grpc/internal/transport.(*http2Server).Close";

/// Where a program's own code has grpc-go.
#[derive(Debug)]
pub(super) struct Anatomy {
    places: Vec<Place>,
    close: u64,
    layout: GoGrpc,
    /// Who says so.
    pub(super) source: Source,
}

impl Anatomy {
    /// `Err`: why nothing is told of streams.
    pub(super) fn of(
        binary: &Binary,
        functions: &Functions,
        code: &Code,
        members: Option<&Members>,
    ) -> Result<Self, &'static str> {
        let version = binary.module(MODULE).ok_or("it has no grpc-go")?;
        let told = members.and_then(|members| row(&|name| members.at_in(PACKAGE, name)));
        let listed = release(version).and_then(|release| layout(&TABLE, release));
        let (layout, source) =
            choose(told, listed).ok_or("the layouts of its grpc-go are not known")?;
        let mut places = Vec::new();
        let mut put = |trap, address| {
            places.extend(binary.place(address).map(|offset| Place { trap, offset }));
        };
        if let Some(open) = functions.named(NEW_STREAM) {
            let returns = code.returns(open).ok_or("its code cannot be read")?;
            returns.into_iter().for_each(|at| put(Trap::GrpcNewStream, at));
        }
        let close = functions.named(CLOSE).map_or(0, |function| function.start);
        if let Some(serve) = functions.named(HANDLE_STREAM)
            && close != 0
        {
            put(Trap::GrpcHandleStream, serve.start);
        }
        if places.is_empty() {
            return Err("it uses no transport of grpc-go");
        }
        Ok(Self { places, close, layout, source })
    }

    /// Where probes are put.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// What they are told of a process.
    pub(super) fn told(&self, bias: u64) -> GoGrpc {
        GoGrpc { server_close: self.close.wrapping_add(bias), ..self.layout }
    }
}

/// Layouts by the release since which they are so, in order; what depends on the process is 0.
static TABLE: LazyLock<Vec<(Release, GoGrpc)>> = LazyLock::new(|| releases::parse(TEXT, row));
const TEXT: &str = include_str!("grpc_layouts.txt");

/// The columns of the table, with their package.
pub(super) fn columns() -> impl Iterator<Item = String> {
    releases::columns(TEXT).map(|name| within(PACKAGE, name))
}

fn row(at: &dyn Fn(&str) -> Option<u64>) -> Option<GoGrpc> {
    /// Data of an interface value.
    const DATA: u64 = 8;
    // Until 1.68 both sides were given the stream itself, with the transport as an interface or a pointer in it.
    let in_stream = || Some(at("Stream.ct")? + if at("*Stream.ct")? == 0 { DATA } else { 0 });
    Some(GoGrpc {
        server_conn: at("http2Server.conn")?,
        client_conn: at("http2Client.conn")?,
        client_transport: at("ClientStream.ct").or_else(in_stream)?,
        client_stream: at("ClientStream.Stream").unwrap_or(0),
        client_stream_points: at("*ClientStream.Stream").unwrap_or(0),
        server_stream: at("ServerStream.Stream").unwrap_or(0),
        server_stream_points: at("*ServerStream.Stream").unwrap_or(0),
        stream_id: at("Stream.id")?,
        stream_ctx: at("Stream.ctx")?,
        ..GoGrpc::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_ends() {
        assert!(TABLE.len() > 1 && TABLE.is_sorted_by_key(|(since, _)| *since));
        let last = TABLE[TABLE.len() - 1].0;
        assert!(last >= (1, 76, 0), "{last:?}");
    }

    #[test]
    fn both_shapes_of_streams_are_known() {
        let of = |minor| layout(&TABLE, (1, minor, 0)).unwrap();
        let (old, new) = (of(67), of(76));
        assert_eq!((old.client_stream, old.client_stream_points), (0, 0));
        assert_eq!((new.client_stream, new.client_stream_points), (0, 1));
        assert_eq!((old.client_transport, new.client_transport), (32, 8));
        assert_eq!(new.server_conn, 16);
    }
}
