//! Go, on x86-64: goroutines are the tasks. What the probes must know of a process is put together here, from its file, from
//! the table of its version's layouts, and from its memory, where all of it has to make sense before it is used.

mod binary;
mod channels;
mod code;
mod dwarf;
mod frames;
mod functions;
mod grpc;
mod http2;
mod layout;
mod live;
mod receivers;
mod releases;
mod source;

use std::{
    collections::HashSet,
    fmt,
    fs::File,
    os::unix::fs::MetadataExt,
    sync::{Arc, LazyLock},
};

use abi::runtime::{GoGrpc, GoHttp2, GoProcess, Rule};
use thiserror::Error;

pub use self::source::Source;
use self::{binary::Binary, functions::Functions, layout::Layout, source::choose};
use super::{
    Rules,
    memory::{Memory, mapped},
    traps::{Place, Program, Trap},
};
use crate::hash::Map;

/// Programs whose anatomy is remembered.
const PROGRAMS: usize = 256;

/// Why a process's goroutines say nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// It is no Go program: nothing to be told.
    #[error("it is no Go program")]
    NotGo,
    /// It, or its file, cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Its version is not in the table, and it has no debugging information.
    #[error("the layouts of Go {0} are not known")]
    UnknownVersion(Version),
    /// A part of its file is not as the compilers make it.
    #[error("its file is unlike those of Go's own linker: {0}")]
    Unlike(&'static str),
    /// What is read in its memory makes no sense (yet: it may only have begun).
    #[error("what is in its memory makes no sense: {0}")]
    Senseless(&'static str),
    /// Not this machine.
    #[error("goroutines are only known on x86-64")]
    Machine,
}

/// A release of Go, by its first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Version {
    /// Of `go1.21.13`, `go1.26rc1`, `devel …`.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix("go")?.split(|c: char| !c.is_ascii_digit());
        Some(Self(numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

/// A process whose goroutines tell.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its Go.
    pub version: Version,
    /// Who says where members lie, of Go's structs and of those of other modules.
    pub layouts: Vec<(&'static str, Source)>,
    /// What the probes are told.
    pub process: GoProcess,
    /// Addresses of functions with which goroutines start that receive work from others; with `true` those that may be one
    /// request's all the same.
    pub receivers: Vec<(u64, bool)>,
    /// What the probes are told if it uses grpc-go,
    pub grpc: Option<GoGrpc>,
    /// or the HTTP/2 of `net/http`,
    pub http2: Option<GoHttp2>,
    /// where these are put into its file,
    pub(crate) places: Vec<Place>,
    /// and which file that is.
    pub(super) program: Program,
    /// How to see that a goroutine has ended.
    pub(super) record: Record,
    /// Rules that are off in it, with the reason.
    pub off: Vec<(Rule, &'static str)>,
}

/// Where in a goroutine's record is whether it lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    goid: u64,
    status: u64,
}

impl Record {
    /// Whether the goroutine `task` (a key) whose record was at that address has ended.
    pub(super) fn has_ended(self, memory: &Memory, address: u64, task: u64) -> bool {
        /// `_Gdead` (runtime/runtime2.go); `_Gscan` may be set beside it.
        const DEAD: u64 = 6;
        const SCAN: u64 = 0x1000;
        let read = |at| memory.word(address.wrapping_add(at));
        match (read(self.goid), read(self.status)) {
            (Some(goid), Some(status)) => {
                let number = abi::runtime::task(0, goid);
                number & abi::runtime::NUMBER != task & abi::runtime::NUMBER
                    || status & 0xffff_ffff & !SCAN == DEAD
            }
            // The process has.
            _ => true,
        }
    }
}

/// Examines processes; remembers what it has found in their programs' files.
#[derive(Default)]
pub struct Examiner {
    programs: Map<Program, Result<Arc<Anatomy>, Refusal>>,
}

/// What is known of a program from its file: addresses are those in the file.
#[derive(Debug)]
struct Anatomy {
    layout: Layout,
    source: Source,
    serve: Option<frames::Wrapper>,
    write: Option<frames::Wrapper>,
    receivers: Vec<(u64, bool)>,
    known: live::Known,
    grpc: Result<grpc::Anatomy, &'static str>,
    http2: http2::Anatomy,
    /// Where it starts goroutines.
    newproc: Vec<Place>,
    /// Where its own functions send to channels and receive from them.
    channels: Vec<Place>,
}

impl Examiner {
    /// Finds out what the probes must know of a process.
    ///
    /// # Errors
    ///
    /// See [`Refusal`].
    pub fn examine(&mut self, pid: u32, rules: Rules) -> Result<Found, Refusal> {
        if cfg!(not(target_arch = "x86_64")) {
            return Err(Refusal::Machine);
        }
        let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
        // Threads of the kernel have none.
        let file = File::open(format!("/proc/{pid}/exe")).map_err(|_| Refusal::NotGo)?;
        let status = file.metadata().map_err(unreadable)?;
        let binary = Binary::read(file)?;
        let mapped = mapped(pid).ok_or(Refusal::Senseless("where its file is mapped"))?;
        let memory = Memory::of(pid).map_err(unreadable)?;
        let bias = mapped.base.wrapping_sub(binary.lowest);
        let text = live::text(&memory, &mapped, binary.functions_at.wrapping_add(bias))
            .ok_or(Refusal::Senseless("its module data"))?;
        let time = status.mtime().wrapping_mul(1_000_000_000).wrapping_add(status.mtime_nsec());
        let program = (status.dev(), status.ino(), time, text.wrapping_sub(bias));
        let anatomy = match self.programs.get(&program) {
            Some(known) => known.clone(),
            None => {
                if self.programs.len() >= PROGRAMS {
                    self.programs.clear();
                }
                let anatomy = Anatomy::of(&binary, text.wrapping_sub(bias)).map(Arc::new);
                self.programs.insert(program, anatomy.clone());
                anatomy
            }
        }?;
        let mut found = put_together(&binary, &anatomy, &memory, bias, rules)?;
        found.program = program;
        Ok(found)
    }
}

impl Anatomy {
    fn of(binary: &Binary, text: u64) -> Result<Self, Refusal> {
        let version = binary.version;
        let members = binary.members(&STRUCTS);
        let told = members.as_ref().and_then(|members| Layout::told(version, members));
        let (layout, source) =
            choose(told, Layout::of(version).cloned()).ok_or(Refusal::UnknownVersion(version))?;
        let functions = Functions::of(&binary.function_table()?, text)
            .ok_or(Refusal::Unlike("its table of functions"))?;
        let code = binary.code(text, functions.end())?;
        Ok(Self {
            serve: frames::wrapper(&functions, &code, frames::SERVE),
            write: frames::wrapper(&functions, &code, frames::WRITE),
            receivers: receivers::of(&functions, &code),
            known: live::Known::of(&functions, &code)
                .ok_or(Refusal::Unlike("functions of the runtime are missing"))?,
            grpc: grpc::Anatomy::of(binary, &functions, &code, members.as_ref()),
            http2: http2::Anatomy::of(binary, &functions, layout.http2, members.as_ref()),
            newproc: newproc(binary, &functions, &code),
            channels: channels::of(binary, &functions, &code),
            layout,
            source,
        })
    }
}

/// Where the function returns that starts goroutines; nowhere if that is not known.
fn newproc(binary: &Binary, functions: &Functions, code: &code::Code) -> Vec<Place> {
    let found = functions.named("runtime.newproc1").and_then(|function| code.returns(function));
    let offsets = found.unwrap_or_default().into_iter().filter_map(|at| binary.place(at));
    offsets.map(|offset| Place { trap: Trap::GoNewproc, offset }).collect()
}

/// The structs of which something is asked.
static STRUCTS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let columns = layout::columns().map(str::to_owned);
    let columns = columns.chain(grpc::columns()).chain(http2::columns());
    columns.map(|column| dwarf::struct_of(&column)).collect()
});

fn put_together(
    binary: &Binary,
    anatomy: &Anatomy,
    memory: &Memory,
    bias: u64,
    rules: Rules,
) -> Result<Found, Refusal> {
    let mut off = Vec::new();
    let layout = &anatomy.layout;
    let counters = live::check(memory, layout, &anatomy.known, bias)?;
    let moved = |wrapper: Option<frames::Wrapper>| {
        wrapper.map_or((0, 0, 0), |wrapper| {
            (wrapper.start.wrapping_add(bias), wrapper.returns.wrapping_add(bias), wrapper.frame)
        })
    };
    let (serve, serve_return, serve_frame) = moved(anatomy.serve);
    let (write, write_return, write_frame) =
        if rules.has(Rule::GoTransport) { moved(anatomy.write) } else { (0, 0, 0) };
    if serve == 0 {
        off.push((Rule::GoHandler, "it has no server of net/http"));
    }
    if layout.g_parent.is_none() {
        off.push((Rule::GoChild, "goroutines do not name who started them before Go 1.21"));
    }
    let (write_request, write_channel) = frames::written(binary.version);
    let process = GoProcess {
        rules: rules.bits(),
        tls: binary.tls.ok_or(Refusal::Unlike("where its thread-local storage is"))? as u64,
        goidgen: counters.goidgen,
        allp: counters.allp,
        serve,
        serve_return,
        serve_frame,
        write,
        write_return,
        write_frame,
        write_request,
        write_channel,
        g_goid: layout.g_goid,
        g_parent: layout.g_parent.unwrap_or(0),
        g_startpc: layout.g_startpc,
        g_m: layout.g_m,
        m_curg: layout.m_curg,
        p_goidcache: layout.p_goidcache,
        chan_recvq: layout.chan_recvq,
        chan_elemsize: layout.chan_elemsize,
        sudog_g: layout.sudog_g,
        persist_conn: layout.persist_conn,
        conn_rwc: layout.conn_rwc,
        fd_laddr: layout.fd_laddr,
        fd_sysfd: layout.fd_sysfd,
        transport_ctx: layout.transport_ctx.unwrap_or(0),
        request_ctx: layout.request_ctx,
        cancel_err: layout.cancel_err,
        fd_family: layout.fd_family,
        fd_sotype: layout.fd_sotype,
    };
    let receivers = anatomy
        .receivers
        .iter()
        .map(|(start, exempt)| (start.wrapping_add(bias), *exempt))
        .collect();
    let (mut grpc, mut places) = (None, Vec::new());
    match &anatomy.grpc {
        Ok(anatomy) if rules.has(Rule::GoGrpc) => {
            grpc = Some(anatomy.told(bias));
            places = anatomy.places().to_vec();
        }
        Ok(_) => {}
        Err(why) => off.push((Rule::GoGrpc, *why)),
    }
    let mut http2 = None;
    if anatomy.http2.places().is_empty() {
        off.push((Rule::GoHttp2, "it has no HTTP/2 of net/http"));
    } else if rules.has(Rule::GoHttp2) {
        http2 = Some(anatomy.http2.told(layout, bias));
        places.extend(anatomy.http2.places());
    }
    if layout.g_parent.is_none() {
        off.push((Rule::GoNewproc, "goroutines do not name who started them before Go 1.21"));
    } else if anatomy.newproc.is_empty() {
        off.push((Rule::GoNewproc, "where it starts goroutines is not known"));
    } else if rules.has(Rule::GoNewproc) && rules.has(Rule::GoChild) {
        places.extend(&anatomy.newproc);
    }
    if rules.has(Rule::GoChannel) && anatomy.channels.is_empty() {
        off.push((Rule::GoChannel, "its own functions do not both send and receive"));
    } else if rules.has(Rule::GoChannel) {
        places.extend(&anatomy.channels);
    }
    let record = Record { goid: layout.g_goid, status: layout.g_status };
    let program = Program::default();
    let mut layouts = vec![("Go", anatomy.source)];
    layouts.extend(anatomy.grpc.as_ref().ok().map(|grpc| ("grpc-go", grpc.source)));
    layouts.extend(anatomy.http2.source.map(|source| ("golang.org/x/net", source)));
    let version = binary.version;
    Ok(Found { version, layouts, process, receivers, grpc, http2, places, program, record, off })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(Version::parse("go1.21.13"), Some(Version(1, 21)));
        assert_eq!(Version::parse("go1.26rc1"), Some(Version(1, 26)));
        assert_eq!(Version::parse("go1.18"), Some(Version(1, 18)));
        assert_eq!(Version::parse("go1.24.3 X:nocoverageredesign"), Some(Version(1, 24)));
        assert_eq!(Version::parse("devel +1234"), None);
    }

    #[test]
    fn what_runs_no_go_is_told_from_what_does() {
        let found = Examiner::default().examine(std::process::id(), Rules::default());
        assert_eq!(found.unwrap_err(), Refusal::NotGo);
    }
}
