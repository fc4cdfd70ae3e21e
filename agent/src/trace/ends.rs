//! The two ends of a connection, as attributes that every protocol has: whom a request was meant for, and who was there.

use crate::conn::{Address, Connection};
use crate::trace::span_writer::SpanWriter;
use crate::trace::url::host_and_port;

/// `server.address` and `server.port`: what was asked for, else the socket's own address of the server. `default` is the
/// port that is meant when none is named.
pub(in crate::trace) fn server_address(
    asked: Option<&str>,
    default: Option<u16>,
    socket: &Address,
    out: &mut SpanWriter,
) {
    if let Some((host, port)) = asked.map(host_and_port).filter(|(host, _)| !host.is_empty()) {
        out.text("server.address", host);
        if let Some(port) = port.or(default) {
            out.number("server.port", port);
        }
        return;
    }
    match socket {
        Address::Inet(ip, port) => {
            out.address("server.address", *ip);
            out.number("server.port", *port);
        }
        Address::Unix(Some(path)) => {
            out.text("server.address", path);
        }
        Address::Unix(None) | Address::Unknown => {}
    }
}

/// `network.peer.*`: the socket's peer.
pub(in crate::trace) fn peer(conn: &Connection, out: &mut SpanWriter) {
    match &conn.remote {
        Address::Inet(ip, port) => {
            out.address("network.peer.address", *ip);
            out.number("network.peer.port", *port);
        }
        Address::Unix(path) => {
            out.text("network.transport", "unix");
            if let Some(path) = path {
                out.text("network.peer.address", path);
            }
        }
        Address::Unknown => {}
    }
}
