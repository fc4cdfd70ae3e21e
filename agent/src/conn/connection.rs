//! What is known of one end of a connection.

use std::net::IpAddr;

use abi::Opened;

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
    /// TCP: sequence numbers of the first bytes of each [`abi::Direction`], 0 if not known; see [`Opened::sent_origin`].
    pub origins: [u32; 2],
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

impl Address {
    /// One end of a unix connection: only one of them has a name (unix(7)), the one that was bound. Abstract names are
    /// shown with `@` for their NUL, as everywhere.
    #[must_use]
    pub fn unix(event: &Opened, remote: bool) -> Self {
        let name = event.path.get(..usize::from(event.path_len)).unwrap_or_default();
        if name.is_empty() || remote != (event.path_is_remote != 0) {
            return Self::Unix(None);
        }
        Self::Unix(Some(match name.strip_prefix(b"\0") {
            Some(abstract_name) => format!("@{}", String::from_utf8_lossy(abstract_name)),
            None => {
                let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                String::from_utf8_lossy(&name[..end]).into_owned()
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &[u8], remote: u8) -> Opened {
        let mut event = Opened {
            path_len: u8::try_from(name.len()).unwrap(),
            path_is_remote: remote,
            ..Opened::default()
        };
        event.path[..name.len()].copy_from_slice(name);
        event
    }

    #[test]
    fn the_bound_end_has_the_name() {
        let path = |text: &str| Address::Unix(Some(text.to_owned()));
        let server = named(b"/run/app.sock\0", 0);
        assert_eq!(Address::unix(&server, false), path("/run/app.sock"));
        assert_eq!(Address::unix(&server, true), Address::Unix(None));
        let client = named(b"\0hidden", 1);
        assert_eq!(Address::unix(&client, true), path("@hidden"));
        assert_eq!(Address::unix(&client, false), Address::Unix(None));
        assert_eq!(Address::unix(&Opened::default(), false), Address::Unix(None));
        let impossible = Opened { path_len: 200, ..Opened::default() };
        assert_eq!(Address::unix(&impossible, false), Address::Unix(None));
    }
}
