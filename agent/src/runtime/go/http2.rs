//! The HTTP/2 of `net/http` in a program, and that of `golang.org/x/net`, which it is made of: at which instructions the probes are put.
//!
//! The first is in every program that serves or calls by `net/http`, whether it is used or not. The other counts where its release has the
//! same layouts as the first in this program's Go: the probes are told one.

use std::sync::LazyLock;

use abi::runtime::GoHttp2;

use super::{
    binary::Binary,
    dwarf::{Members, within},
    functions::Functions,
    layout::Layout,
    releases::{self, Release, layout, release},
    source::{Source, choose},
};
use crate::runtime::traps::{Place, Trap};

/// Functions of the first: one writes the head of a client's stream, the other serves one.
const FUNCTIONS: [(&str, Trap); 2] = [
    ("net/http.(*http2clientStream).encodeAndWriteHeaders", Trap::Http2WriteHeaders),
    ("net/http.(*http2serverConn).runHandler", Trap::Http2RunHandler),
];

const MODULE: &str = "golang.org/x/net";
/// The package with its structs.
const PACKAGE: &str = "golang.org/x/net/http2.";
/// The same of the other,
const MODULE_FUNCTIONS: [(&str, Trap); 2] = [
    ("golang.org/x/net/http2.(*clientStream).encodeAndWriteHeaders", Trap::Http2WriteHeaders),
    ("golang.org/x/net/http2.(*serverConn).runHandler", Trap::Http2RunHandler),
];
/// and the first method of a connection of which its `h2c` has read more than the preface: the true one is the first in it.
const BUFFERED: &str = "golang.org/x/net/http2/h2c.(*bufConn).Close";

/// Where a program's own code has it.
#[derive(Debug)]
pub(super) struct Anatomy {
    places: Vec<Place>,
    buffered: u64,
    /// Who says where the module's structs have their members, if it has them where the first has.
    pub(super) source: Option<Source>,
}

impl Anatomy {
    /// `own` is the layout of the first.
    pub(super) fn of(
        binary: &Binary,
        functions: &Functions,
        own: GoHttp2,
        members: Option<&Members>,
    ) -> Self {
        let mut sought = FUNCTIONS.to_vec();
        let mut buffered = 0;
        let told = members.and_then(|members| row(&|name| members.at_in(PACKAGE, name), ""));
        let version = binary.module(MODULE).and_then(release);
        let listed = version.and_then(|version| layout(&TABLE, version));
        // Without a module of that name its functions have other names.
        let module = choose(told.filter(|_| version.is_some()), listed);
        let source = module.filter(|(module, _)| *module == own).map(|(_, source)| source);
        if source.is_some() {
            sought.extend(MODULE_FUNCTIONS);
            buffered = functions.named(BUFFERED).map_or(0, |function| function.start);
        }
        let put = |(name, trap)| {
            let start = functions.named(name)?.start;
            Some(Place { trap, offset: binary.place(start)? })
        };
        Self { places: sought.into_iter().filter_map(put).collect(), buffered, source }
    }

    /// Where probes are put.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// What they are told of a process.
    pub(super) fn told(&self, layout: &Layout, bias: u64) -> GoHttp2 {
        let buffered_close = match self.buffered {
            0 => 0,
            address => address.wrapping_add(bias),
        };
        GoHttp2 { buffered_close, ..layout.http2 }
    }
}

/// Layouts of the module by the release since which they are so, in order; what depends on the process is 0.
static TABLE: LazyLock<Vec<(Release, GoHttp2)>> =
    LazyLock::new(|| releases::parse(TEXT, |at| row(at, "")));
const TEXT: &str = include_str!("xnet_layouts.txt");

/// The columns of the table, with their package.
pub(super) fn columns() -> impl Iterator<Item = String> {
    releases::columns(TEXT).map(|name| within(PACKAGE, name))
}

/// A layout, from the cells of columns with these names behind the prefix.
pub(super) fn row(at: &dyn Fn(&str) -> Option<u64>, prefix: &str) -> Option<GoHttp2> {
    let at = |name: &str| at(&format!("{prefix}{name}"));
    Some(GoHttp2 {
        server_conn: at("serverConn.conn")?,
        writer_state: at("responseWriter.rws")?,
        state_stream: at("responseWriterState.stream")?,
        stream_id: at("stream.id")?,
        client_conn: at("clientStream.cc")?,
        conn_socket: at("ClientConn.tconn")?,
        client_id: at("clientStream.ID")?,
        client_ctx: at("clientStream.ctx")?,
        client_received: at("clientStream.respHeaderRecv")?,
        buffered_close: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::go::Version;

    #[test]
    fn the_module_has_the_layouts_of_the_standard_library() {
        assert!(TABLE.is_sorted_by_key(|(since, _)| *since));
        let own = Layout::of(Version(1, 26)).map(|layout| layout.http2);
        assert_eq!(layout(&TABLE, (0, 47, 0)), own);
        assert_eq!(layout(&TABLE, (0, 0, 0)), None, "a version without a number");
    }
}
