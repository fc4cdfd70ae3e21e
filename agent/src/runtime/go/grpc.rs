//! grpc-go in a program: which version, where its structs have what the probes read, and at which instructions these are put.
//!
//! Layouts are those of the table that `cargo xtask go-offsets` writes. What the probes find by them must be a socket's record each
//! time, or nothing is said.

use std::sync::LazyLock;

use abi::runtime::GoGrpc;

use super::{binary::Binary, code::Code, functions::Functions};
use crate::runtime::traps::{Place, Trap};

const MODULE: &str = "google.golang.org/grpc";
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
}

impl Anatomy {
    /// `Err`: why nothing is told of streams.
    pub(super) fn of(
        binary: &Binary,
        functions: &Functions,
        code: &Code,
    ) -> Result<Self, &'static str> {
        let version = binary.module(MODULE).ok_or("it has no grpc-go")?;
        let layout =
            release(version).and_then(layout).ok_or("the layouts of its grpc-go are not known")?;
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
        Ok(Self { places, close, layout })
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

/// A release by its second and third number.
type Release = (u32, u32);

/// Of `1.76.0`, with a `v` before it or without, and whatever behind it.
fn release(version: &str) -> Option<Release> {
    let mut numbers = version.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
    let (major, minor, patch) = (numbers.next()?, numbers.next()?, numbers.next()?);
    (major == "1").then_some((minor.parse().ok()?, patch.parse().ok()?))
}

/// The layout of a release: that of the last one told up to it. Of later minor versions nothing is known.
fn layout(release: Release) -> Option<GoGrpc> {
    let (last, _) = TABLE.last()?;
    let (_, layout) = TABLE.iter().rfind(|(since, _)| *since <= release)?;
    (release.0 <= last.0).then_some(*layout)
}

/// Layouts by the release since which they are so, in order; what depends on the process is 0.
static TABLE: LazyLock<Vec<(Release, GoGrpc)>> =
    LazyLock::new(|| parse(include_str!("grpc_layouts.txt")));

fn parse(table: &str) -> Vec<(Release, GoGrpc)> {
    let mut lines = table.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    lines.filter_map(|line| row(&names, &line.split(' ').collect::<Vec<_>>())).collect()
}

fn row(names: &[&str], cells: &[&str]) -> Option<(Release, GoGrpc)> {
    /// Data of an interface value.
    const DATA: u64 = 8;
    let at = |name: &str| -> Option<u64> {
        cells.get(names.iter().position(|known| *known == name)?)?.parse().ok()
    };
    // Until 1.68 both sides were given the stream itself, with the transport as an interface or a pointer in it.
    let in_stream = || Some(at("Stream.ct")? + if at("*Stream.ct")? == 0 { DATA } else { 0 });
    let layout = GoGrpc {
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
    };
    Some((release(cells.first()?)?, layout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_ends() {
        assert!(TABLE.len() > 1 && TABLE.is_sorted_by_key(|(since, _)| *since));
        let last = TABLE[TABLE.len() - 1].0;
        assert!(last.0 >= 76, "{last:?}");
        assert_eq!(layout((TABLE[0].0.0 - 1, 9)), None);
        assert_eq!(layout((last.0 + 1, 0)), None);
        assert!(layout((last.0, last.1 + 9)).is_some());
    }

    #[test]
    fn both_shapes_of_streams_are_known() {
        let of = |minor| layout((minor, 0)).unwrap();
        let (old, new) = (of(67), of(76));
        assert_eq!((old.client_stream, old.client_stream_points), (0, 0));
        assert_eq!((new.client_stream, new.client_stream_points), (0, 1));
        assert_eq!((old.client_transport, new.client_transport), (32, 8));
        assert_eq!(new.server_conn, 16);
    }

    #[test]
    fn releases_have_numbers() {
        assert_eq!(release("v1.76.0"), Some((76, 0)));
        assert_eq!(release("v1.60.2-0.20231201-abcdef"), Some((60, 2)));
        assert_eq!(release("(devel)"), None);
        assert_eq!(release("v2.1.0"), None);
    }
}
