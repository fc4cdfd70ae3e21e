//! Services on Go: `net/http` with each way in which goroutines are put to work, its HTTP/2, beside databases, and frameworks.

use std::path::PathBuf;
use std::process::Command;

use super::{Place, Runtime, Started, Streams, told};
use crate::programs::databases::Databases;
use crate::programs::go;

/// Go's `net/http`.
pub const GO: Runtime =
    Runtime { name: "go", proxies: false, start: |place| net_http(place, "", None) };

/// The same, with a goroutine for each call.
pub const GO_FANOUT: Runtime =
    Runtime { name: "go-fanout", proxies: false, start: |place| net_http(place, "fanout", None) };

/// The same, where a goroutine that makes no call has started those that do.
pub const GO_MIDDLE: Runtime =
    Runtime { name: "go-middle", proxies: false, start: |place| net_http(place, "middle", None) };

/// The same, with a pool of workers that are handed the request's context,
pub const GO_POOL_CONTEXT: Runtime = Runtime {
    name: "go-pool-context",
    proxies: false,
    start: |place| net_http(place, "pool-context", None),
};

/// and with one that is handed none.
pub const GO_POOL: Runtime =
    Runtime { name: "go-pool", proxies: false, start: |place| net_http(place, "pool", None) };

/// The same, where the agent is asked to follow channels,
pub const GO_CHANNEL: Runtime = Runtime {
    name: "go-channel",
    proxies: false,
    start: |place| Ok(Started { channels: true, ..net_http(place, "pool", None)? }),
};

/// and that by an old Go.
pub const GO_OLD_CHANNEL: Runtime = Runtime {
    name: "go-old-channel",
    proxies: false,
    start: |place| Ok(Started { channels: true, ..net_http(place, "pool", OLD_GO)? }),
};

/// The first, by an old Go,
pub const GO_OLD: Runtime =
    Runtime { name: "go-old", proxies: false, start: |place| net_http(place, "", OLD_GO) };

/// and its pool with contexts.
pub const GO_OLD_POOL: Runtime = Runtime {
    name: "go-old-pool",
    proxies: false,
    start: |place| net_http(place, "pool-context", OLD_GO),
};

/// The oldest Go that the services are built with; the newest is the installed one.
const OLD_GO: Option<&str> = Some("1.19.13");

/// Go, served by chi,
pub const GO_CHI: Runtime =
    Runtime { name: "go-chi", proxies: false, start: |place| framework(place, "chi") };

/// by gin,
pub const GO_GIN: Runtime =
    Runtime { name: "go-gin", proxies: false, start: |place| framework(place, "gin") };

/// by echo,
pub const GO_ECHO: Runtime =
    Runtime { name: "go-echo", proxies: false, start: |place| framework(place, "echo") };

/// and by fasthttp, which also calls.
pub const GO_FASTHTTP: Runtime =
    Runtime { name: "go-fasthttp", proxies: false, start: |place| framework(place, "fasthttp") };

/// Go's `net/http` over HTTP/2 in clear text,
pub const GO_HTTP2: Runtime =
    Runtime { name: "go-http2", proxies: false, start: |place| framework(place, "http2") };

/// the same with a goroutine for each call,
pub const GO_HTTP2_FANOUT: Runtime = Runtime {
    name: "go-http2-fanout",
    proxies: false,
    start: |place| framework_way(place, "http2", "fanout"),
};

/// with a pool of workers that are handed no context,
pub const GO_HTTP2_POOL: Runtime = Runtime {
    name: "go-http2-pool",
    proxies: false,
    start: |place| framework_way(place, "http2", "pool"),
};

/// and the first by `golang.org/x/net`.
pub const GO_X_HTTP2: Runtime =
    Runtime { name: "go-x-http2", proxies: false, start: |place| framework(place, "x-http2") };

/// grpc-go, for all calls of a service on one connection,
pub const GO_GRPC: Runtime =
    Runtime { name: "go-grpc", proxies: false, start: |place| grpc(place, "") };

/// with a goroutine for each call,
pub const GO_GRPC_FANOUT: Runtime =
    Runtime { name: "go-grpc-fanout", proxies: false, start: |place| grpc(place, "fanout") };

/// and with a pool of workers that are handed no context.
pub const GO_GRPC_POOL: Runtime =
    Runtime { name: "go-grpc-pool", proxies: false, start: |place| grpc(place, "pool") };

/// Go's `net/http`, with calls to PostgreSQL (`database/sql`) and to Redis (go-redis) before, between and behind the others. The
/// connections to both are few and go from goroutine to goroutine.
pub const GO_DATABASES: Runtime = Runtime {
    name: "go-databases",
    proxies: false,
    start: |place| {
        let databases = Databases::start()?;
        let mut command = Command::new(frameworks()?);
        command.env("TRUTH_SERVER", "databases").env("TRUTH_POSTGRES", databases.postgres());
        command.env("TRUTH_REDIS", databases.redis());
        let started = told(place, command)?;
        Ok(Started { tells: Some("Go"), _databases: Some(databases), ..started })
    },
};

fn framework(place: &Place<'_>, server: &str) -> anyhow::Result<Started> {
    framework_way(place, server, "")
}

fn framework_way(place: &Place<'_>, server: &str, way: &str) -> anyhow::Result<Started> {
    let mut command = Command::new(frameworks()?);
    command.env("TRUTH_SERVER", server).env("TRUTH_WAY", way);
    let streams = matches!(server, "http2" | "x-http2").then_some(Streams::Http2);
    Ok(Started { tells: Some("Go"), streams, ..told(place, command)? })
}

fn grpc(place: &Place<'_>, way: &str) -> anyhow::Result<Started> {
    let mut command = Command::new(grpc_service()?);
    command.env("TRUTH_WAY", way);
    Ok(Started { tells: Some("Go"), streams: Some(Streams::Grpc), ..told(place, command)? })
}

fn net_http(
    place: &Place<'_>,
    way: &str,
    release: Option<&'static str>,
) -> anyhow::Result<Started> {
    let mut command = Command::new(service(release)?);
    command.env("TRUTH_WAY", way);
    Ok(Started { tells: Some("Go"), ..told(place, command)? })
}

/// All programs of these services, built.
pub(super) fn go_programs() -> [anyhow::Result<PathBuf>; 4] {
    [service(None), service(OLD_GO), frameworks(), grpc_service()]
}

fn service(release: Option<&'static str>) -> anyhow::Result<PathBuf> {
    let how = go::How { release, ..go::How::default() };
    go::build_with(how, "truth/go", "service", &["work/work.go"])
}

fn grpc_service() -> anyhow::Result<PathBuf> {
    go::build("truth/grpc", "service", &["go.sum", "../go/work/work.go"])
}

fn frameworks() -> anyhow::Result<PathBuf> {
    go::build("truth/frameworks", "service", &["go.sum", "../go/work/work.go"])
}
