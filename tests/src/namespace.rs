//! Network namespaces: several hosts on one kernel, each with addresses and a loopback of its own.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::agent::need_root;
use crate::process;
use crate::programs::installed;

/// Two namespaces, joined by a cable. They are taken down when this is dropped.
pub struct Hosts {
    names: [String; 2],
}

/// Their addresses on the cable: of the range for documentation (RFC 5737), so that they are nobody's.
pub const ADDRESSES: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

/// And those of IPv6, likewise (RFC 3849).
pub const ADDRESSES_V6: [&str; 2] = ["2001:db8::1", "2001:db8::2"];

impl Hosts {
    /// Makes them.
    ///
    /// # Errors
    /// A skip without root or `ip`; what `ip` says.
    pub fn start() -> anyhow::Result<Self> {
        need_root()?;
        let pid = std::process::id();
        let hosts = Self { names: ["a", "b"].map(|end| format!("spanwire-{end}-{pid}")) };
        for name in &hosts.names {
            ip(&["netns", "add", name])?;
        }
        let [a, b] = &hosts.names;
        ip(&[
            "link", "add", "cable", "netns", a, "type", "veth", "peer", "name", "cable", "netns", b,
        ])?;
        for (name, (v4, v6)) in hosts.names.iter().zip(ADDRESSES.iter().zip(ADDRESSES_V6)) {
            ip(&["-n", name, "address", "add", &format!("{v4}/24"), "dev", "cable"])?;
            // Without looking first whether somebody else has it, which takes a second.
            ip(&["-n", name, "address", "add", &format!("{v6}/64"), "dev", "cable", "nodad"])?;
            for device in ["lo", "cable"] {
                ip(&["-n", name, "link", "set", device, "up"])?;
            }
        }
        Ok(hosts)
    }

    /// The file of one of them.
    #[must_use]
    pub fn file(&self, host: usize) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.names[host])
    }

    /// The command, run on one of them.
    ///
    /// # Errors
    /// When `ip` is missing.
    pub fn on(&self, host: usize, command: &Command) -> anyhow::Result<Command> {
        let mut on = Command::new(installed("ip")?);
        on.args(["netns", "exec", &self.names[host]])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on.env(name, value),
                None => on.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            on.current_dir(folder);
        }
        Ok(on)
    }

    /// From now on this thread's new sockets are on one of them.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn enter(&self, host: usize) -> anyhow::Result<()> {
        let namespace = std::fs::File::open(self.file(host))?;
        let kind = Some(LinkNameSpaceType::Network);
        Ok(move_into_link_name_space(namespace.as_fd(), kind)?)
    }
}

impl Hosts {
    /// Runs a program on one of them that must say nothing.
    ///
    /// # Errors
    /// When it is missing; what it says.
    pub fn run(&self, host: usize, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(installed(program)?);
        let output = process::output(&mut self.on(host, command.args(arguments))?)?;
        let said = String::from_utf8_lossy(&output);
        ensure!(output.is_empty(), "{program} {arguments:?} says {said}");
        Ok(())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            // One that was never made is no error.
            let _ = ip(&["netns", "del", name]);
        }
    }
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = process::output(Command::new(installed("ip")?).args(arguments))?;
    ensure!(output.is_empty(), "ip {arguments:?} says {}", String::from_utf8_lossy(&output));
    Ok(())
}
