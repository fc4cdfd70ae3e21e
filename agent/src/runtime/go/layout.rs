//! Where members lie in Go's own structs: by the program's debugging information, or by its version in the table that `cargo xtask
//! go-offsets` writes.

use std::sync::LazyLock;

use abi::runtime::GoHttp2;

use super::{Version, dwarf::Members, http2, releases};

/// Offsets of one version; `None` where there is no such member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    version: Version,
    pub(super) g_goid: u64,
    /// Since 1.21.
    pub(super) g_parent: Option<u64>,
    pub(super) g_startpc: u64,
    pub(super) g_m: u64,
    pub(super) g_status: u64,
    pub(super) m_curg: u64,
    pub(super) p_id: u64,
    pub(super) p_goidcache: u64,
    pub(super) chan_recvq: u64,
    pub(super) chan_elemsize: u64,
    pub(super) sudog_g: u64,
    pub(super) persist_conn: u64,
    pub(super) conn_rwc: u64,
    pub(super) fd_sysfd: u64,
    pub(super) fd_laddr: u64,
    pub(super) fd_family: u64,
    pub(super) fd_sotype: u64,
    /// Since 1.23; before, the request's own context is the one that counts.
    pub(super) transport_ctx: Option<u64>,
    pub(super) request_ctx: u64,
    pub(super) cancel_err: u64,
    /// Where its HTTP/2 has what the probes read.
    pub(super) http2: GoHttp2,
}

const TEXT: &str = include_str!("layouts.txt");
static TABLE: LazyLock<Vec<Layout>> = LazyLock::new(|| parse(TEXT));

/// The columns of the table.
pub(super) fn columns() -> impl Iterator<Item = &'static str> {
    releases::columns(TEXT)
}

impl Layout {
    /// Of a version.
    pub(super) fn of(version: Version) -> Option<&'static Self> {
        TABLE.iter().find(|layout| layout.version == version)
    }

    /// Of a program of that version, by what it tells of its structs. `None` if that is not all.
    pub(super) fn told(version: Version, members: &Members) -> Option<Self> {
        Self::from(version, &|name| members.at(name))
    }
}

fn parse(text: &str) -> Vec<Layout> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    lines.filter_map(|line| row(&names, &line.split(' ').collect::<Vec<_>>())).collect()
}

fn row(names: &[&str], cells: &[&str]) -> Option<Layout> {
    let at = |name: &str| -> Option<u64> {
        let column = names.iter().position(|known| *known == name)?;
        cells.get(column)?.parse().ok()
    };
    let (major, minor) = cells.first()?.split_once('.')?;
    Layout::from(Version(major.parse().ok()?, minor.parse().ok()?), &at)
}

impl Layout {
    /// From what finds its members by name.
    fn from(version: Version, at: &dyn Fn(&str) -> Option<u64>) -> Option<Self> {
        Some(Self {
            version,
            g_goid: at("runtime.g.goid")?,
            g_parent: at("runtime.g.parentGoid"),
            g_startpc: at("runtime.g.startpc")?,
            g_m: at("runtime.g.m")?,
            g_status: at("runtime.g.atomicstatus")?,
            m_curg: at("runtime.m.curg")?,
            p_id: at("runtime.p.id")?,
            p_goidcache: at("runtime.p.goidcache")?,
            chan_recvq: at("runtime.hchan.recvq")?,
            chan_elemsize: at("runtime.hchan.elemsize")?,
            sudog_g: at("runtime.sudog.g")?,
            persist_conn: at("net/http.persistConn.conn")?,
            conn_rwc: at("net/http.conn.rwc")?,
            fd_sysfd: at("net.netFD.pfd")? + at("internal/poll.FD.Sysfd")?,
            fd_laddr: at("net.netFD.laddr")?,
            fd_family: at("net.netFD.family")?,
            fd_sotype: at("net.netFD.sotype")?,
            transport_ctx: at("net/http.transportRequest.ctx"),
            request_ctx: at("net/http.Request.ctx")?,
            cancel_err: at("context.cancelCtx.err")?,
            http2: http2::row(at, "net/http.http2")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_read() {
        let versions: Vec<u32> = TABLE.iter().map(|layout| layout.version.1).collect();
        assert_eq!(versions, (18..=26).collect::<Vec<_>>());
        assert_eq!(Layout::of(Version(1, 17)), None);
    }

    #[test]
    fn members_are_where_they_were_measured() {
        let layout = Layout::of(Version(1, 24)).unwrap();
        assert_eq!((layout.g_goid, layout.g_parent, layout.g_startpc), (160, Some(280), 304));
        assert_eq!((layout.p_goidcache, layout.chan_recvq), (376, 64));
        assert_eq!(Layout::of(Version(1, 20)).unwrap().g_parent, None);
        let http2 = Layout::of(Version(1, 26)).unwrap().http2;
        assert_eq!((http2.client_id, http2.client_received), (40, 248));
    }
}
