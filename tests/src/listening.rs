//! Ports that are free, and servers that are ready: both read from `/proc/net`.
//!
//! Readiness is never tried out by connecting: a probe connection would be traffic that the agent under test sees.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::process::Program;
use crate::wait::Deadline;

/// Where tests' servers listen.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// State of a listening socket in `/proc/net/tcp` (`TCP_LISTEN`).
const LISTEN: &str = "0A";

/// Flag of a listening socket in `/proc/net/unix` (`__SO_ACCEPTCON`).
const ACCEPTS: u32 = 1 << 16;

/// A port on 127.0.0.1 that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> anyhow::Result<u16> {
    free_port_at(Ipv4Addr::LOCALHOST.into())
}

/// A port that nobody listens on at that address, and that no client will be given before the server has it: it is
/// below the range from which the kernel gives out ports (32768 and up, `ip_local_port_range`).
///
/// # Errors
/// When there is none, or no such address.
pub fn free_port_at(address: IpAddr) -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..PORTS.len() {
        let at = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) + std::process::id() * 31;
        let port = PORTS.start + u16::try_from(at % u32::from(PORTS.end - PORTS.start))?;
        if TcpListener::bind(SocketAddr::new(address, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port at {address}")
}

/// Waits until somebody listens on the TCP port, in the network namespace of `program`.
///
/// # Errors
/// When `program` ends first, or after 30 s.
pub fn wait_port(program: &mut Program, port: u16) -> anyhow::Result<()> {
    let pid = program.pid();
    wait_ready(program, &format!("port {port}"), || listens_on_port(pid, port))
}

/// Waits until somebody listens on the unix socket.
///
/// # Errors
/// When `program` ends first, or after 30 s.
pub fn wait_unix(program: &mut Program, path: &Path) -> anyhow::Result<()> {
    wait_ready(program, &path.display().to_string(), || listens_on_path(path))
}

fn wait_ready(program: &mut Program, what: &str, ready: impl Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Deadline::seconds(30);
    crate::wait::until(&format!("a server on {what}"), deadline, || match program.is_running() {
        Ok(true) => ready().then_some(Ok(())),
        Ok(false) => Some(Err(anyhow::anyhow!("the server ended before it listened on {what}"))),
        Err(error) => Some(Err(error)),
    })?
}

/// Whether somebody does in the network namespace of that process.
fn listens_on_port(pid: u32, port: u16) -> bool {
    let wanted = format!(":{port:04X}");
    ["tcp", "tcp6"].iter().any(|table| {
        std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).is_ok_and(|table| {
            table.lines().skip(1).any(|line| {
                let mut fields = line.split_whitespace().skip(1);
                let local = fields.next().unwrap_or_default();
                local.ends_with(&wanted) && fields.nth(1) == Some(LISTEN)
            })
        })
    })
}

fn listens_on_path(path: &Path) -> bool {
    let wanted = path.display().to_string();
    std::fs::read_to_string("/proc/net/unix").is_ok_and(|table| {
        table.lines().skip(1).any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.len() == 8
                && fields[7] == wanted
                && u32::from_str_radix(fields[3], 16).is_ok_and(|flags| flags & ACCEPTS != 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_seen_and_a_free_port_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = std::process::id();
        assert!(listens_on_port(own, listener.local_addr().unwrap().port()));
        assert!(!listens_on_port(own, free_port().unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(!listens_on_path(&path));
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(listens_on_path(&path));
    }
}
