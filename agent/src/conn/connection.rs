//! What is known of one end of a connection.

use std::net::IpAddr;

use crate::input::ConnId;

/// One end of a connection, as the kernel announced it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its key.
    pub id: ConnId,
    /// Own end.
    pub local: Address,
    /// The peer's end.
    pub remote: Address,
    /// Address of the kernel's socket; with `peer_socket` it pairs unix sockets.
    pub socket: u64,
    /// Unix: the peer's socket, 0 if not known.
    pub peer_socket: u64,
    /// Inode number of the socket.
    pub inode: u64,
    /// Network namespace's inode number, 0 if not known.
    pub netns: u32,
    /// The process that used it first in our sight.
    pub pid: u32,
}

/// An end's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Inet(IpAddr, u16),
    /// A unix socket, by its path when it has one.
    Unix(Option<String>),
    /// The event that announced the connection was lost.
    Unknown,
}
