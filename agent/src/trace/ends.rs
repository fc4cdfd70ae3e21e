//! The two ends of a connection, as attributes that every protocol has: whom a request was meant for, and who was there.

use opentelemetry_proto::tonic::common::v1::KeyValue;

use crate::conn::{Address, Connection};
use crate::service::attribute::{number, text};
use crate::trace::url::host_and_port;

/// `server.address` and `server.port`: what was asked for, else the socket's own address of the server. `default` is the
/// port that is meant when none is named.
pub(in crate::trace) fn server_address(
    asked: Option<&str>,
    default: Option<u16>,
    socket: &Address,
    out: &mut Vec<KeyValue>,
) {
    if let Some((host, port)) = asked.map(host_and_port).filter(|(host, _)| !host.is_empty()) {
        out.push(text("server.address", host));
        if let Some(port) = port.or(default) {
            out.push(number("server.port", port));
        }
        return;
    }
    match socket {
        Address::Inet(ip, port) => {
            out.push(text("server.address", ip.to_canonical().to_string()));
            out.push(number("server.port", *port));
        }
        Address::Unix(Some(path)) => out.push(text("server.address", path.as_str())),
        Address::Unix(None) | Address::Unknown => {}
    }
}

/// `network.peer.*`: the socket's peer.
pub(in crate::trace) fn peer(conn: &Connection, out: &mut Vec<KeyValue>) {
    match &conn.remote {
        Address::Inet(ip, port) => {
            out.push(text("network.peer.address", ip.to_canonical().to_string()));
            out.push(number("network.peer.port", *port));
        }
        Address::Unix(path) => {
            out.push(text("network.transport", "unix"));
            if let Some(path) = path {
                out.push(text("network.peer.address", path.as_str()));
            }
        }
        Address::Unknown => {}
    }
}
