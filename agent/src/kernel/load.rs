//! Puts the probes into the kernel: the best set of hooks that not only loads but is seen to fire.
//!
//! Each program is loaded alone. One that the set cannot do without makes the next set be tried; nothing is left
//! behind, because nothing is pinned: when this process ends, however it ends, the kernel takes everything back.

use std::{
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex},
};

use abi::{Config, Counter, id::Seed};
use aya::{
    Btf, Ebpf, EbpfError, EbpfLoader,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, ProgramArray, RingBuf},
    programs::{BtfTracePoint, ProgramError, TracePoint, UProbe},
};
use thiserror::Error;

use crate::runtime::{GoMaps, Maps, PoolMaps, Trap};

use super::{
    data_rings::{DataRings, Sizes},
    features::{Kernel, Refusal},
    hooks::{HookSet, LIFECYCLE, Program, Second},
    insert::{self, Enrolment, Insert},
    left_out::LeftOut,
    mounts, object, own_calls,
    refusal::one_line,
    wire::{self, Sampling, Wire},
};

/// How to load.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only this set of hooks; the best that works if `None`.
    pub hooks: Option<HookSet>,
    /// Size of all data rings in bytes: a power of two, at least a page.
    pub data_ring: u32,
    /// Secret of this run, see [`abi::id`].
    pub seed: Seed,
    /// Only connections of the network namespace of this number; all if `None`.
    pub network_namespace: Option<u32>,
    /// Whether contexts of requests go by the wire.
    pub wire: Option<Wire>,
    /// Into which requests contexts are put; nothing of it is loaded if `None`.
    pub insert: Option<Insert>,
    /// Whether channels of Go programs are followed; the maps of that are empty if not.
    pub channels: bool,
    /// Which traces are sampled.
    pub sampling: Sampling,
}

/// Default size of all data rings: 20,000 exchanges a second fill a quarter of it in about a tenth of a second.
pub const DATA_RING: u32 = 8 << 20;

/// Why the probes could not be put into the kernel.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The kernel cannot have them.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This binary has none.
    #[error(
        "this spanwire was compiled without its kernel probes: build it with `cargo xtask build`"
    )]
    NoProbes,
    /// No set of hooks works.
    #[error("no set of hooks works on this kernel: {}", Tried(.0))]
    NoHooks(Vec<(HookSet, String)>),
}

struct Tried<'a>(&'a [(HookSet, String)]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (set, why)) in self.0.iter().enumerate() {
            write!(f, "{}{set}: {why}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// The loaded and attached probes. Dropping it detaches them.
pub struct Probes {
    /// The set of hooks that is attached.
    pub hooks: HookSet,
    /// Sets that were tried before and did not work, with the reason.
    pub refused: Vec<(HookSet, String)>,
    /// Features that are off because this kernel refuses their program, with the reason.
    pub off: Vec<(&'static str, String)>,
    /// Bytes moved.
    pub data: DataRings,
    /// Lifecycle.
    pub control: RingBuf<MapData>,
    /// What to wake us for: one of [`abi::wake`].
    pub wake: Array<MapData, u32>,
    /// Which processes' connections are left unread.
    pub left_out: LeftOut,
    /// Which traces are sampled.
    sampler: Array<MapData, [u64; 2]>,
    /// Processes whose requests have no context on the wire.
    pub quiet: HashMap<MapData, u32, u8>,
    /// The sockets into whose requests contexts are put; `None` where that is off.
    pub enrolment: Option<Enrolment>,
    /// The kernel's counters, by [`Counter`].
    pub counters: PerCpuArray<MapData, u64>,
    /// What the probes are told of runtimes, until somebody takes it to tell.
    pub(crate) runtimes: Option<Maps>,
    /// Those that are in the kernel, by name.
    programs: Vec<(String, OwnedFd)>,
    /// Keeps what second programs go on as: the kernel empties these maps when nobody has them.
    _firsts: Vec<ProgramArray<MapData>>,
    /// Keeps all that is attached; there is no other owner.
    _attached: Arc<Mutex<Ebpf>>,
}

/// Loads and attaches the probes.
///
/// # Errors
///
/// See [`LoadError`]; each is one sentence for the user.
pub fn load(kernel: &Kernel, options: &Options) -> Result<Probes, LoadError> {
    if object::probes().is_empty() {
        return Err(LoadError::NoProbes);
    }
    lift_memory_limit();
    let sets = match options.hooks {
        Some(set) => vec![set],
        None => kernel.hook_sets(),
    };
    let mut refused = Vec::new();
    for set in sets {
        match load_set(kernel, options, set) {
            Ok(mut probes) => {
                probes.refused = refused;
                return Ok(probes);
            }
            Err(SetError::Refused(refusal)) => return Err(refusal.into()),
            Err(error) => {
                log::debug!("{set}: {error:#?}");
                refused.push((set, one_line(&error)));
            }
        }
    }
    Err(LoadError::NoHooks(refused))
}

#[derive(Debug, Error)]
enum SetError {
    #[error(transparent)]
    Refused(Refusal),
    #[error("this kernel does not have its tracepoints, which came with Linux {0}")]
    Missing(&'static str),
    #[error("the object cannot be loaded: {0}")]
    Object(#[from] EbpfError),
    #[error("{0} is refused: {1}")]
    Program(&'static str, ProgramError),
    #[error("{0} is not in the object or of another kind")]
    Absent(&'static str),
    #[error("tracefs cannot be mounted: {0}")]
    Tracefs(io::Error),
    #[error("it loads and attaches but does not fire")]
    Silent,
    #[error("{0}")]
    Io(#[from] io::Error),
}

fn load_set(kernel: &Kernel, options: &Options, set: HookSet) -> Result<Probes, SetError> {
    if !set.exists(&kernel.types) {
        return Err(SetError::Missing(set.since()));
    }
    let cpus = u32::try_from(aya::util::nr_cpus().map_err(|(_, error)| error)?).unwrap_or(u32::MAX);
    let sizes = Sizes::of(options.data_ring, cpus);
    let config = Config {
        seed: options.seed,
        own_tgid: std::process::id(),
        wake_at: sizes.bytes / 4,
        network_namespace: options.network_namespace.unwrap_or(0),
        ..kernel.config(set).map_err(SetError::Refused)?
    };
    let config = options.wire.map_or(config, |wire| wire.config(config, set));
    let btf = Btf::from_sys_fs().map_err(EbpfError::from)?;
    let created = |insert: Option<Insert>| {
        let config = insert.map_or(config, |insert| insert.config(config, set));
        let most = |entries: usize| if insert.is_some() { entries as u32 } else { 1 };
        let of_channels = |entries: usize| if options.channels { entries as u32 } else { 1 };
        EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("CONFIG", words(&config).as_slice(), true)
            .map_max_entries("SCRATCH", cpus)
            .map_max_entries("NAMED", most(abi::NAMED_PROCESSES))
            .map_max_entries("BOUNDARIES", most(abi::insert::BOUNDARIES))
            .map_max_entries("OLDER", most(abi::insert::OLDER))
            .map_max_entries("INSERT_STREAMS", most(abi::insert::MEMBERS))
            .map_max_entries("GO_OPENED", most(abi::insert::OPENED))
            .map_max_entries("STREAM_CONTEXTS", most(abi::insert::OPENED))
            .map_max_entries("GO_SENT", of_channels(abi::runtime::SENT))
            .map_max_entries("GO_ASKING", of_channels(abi::runtime::RECEIVING))
            .load(object::fitted(kernel, insert.is_some()).bytes())
    };
    let mut inserts = match options.insert {
        None => Err(insert::NOT_ASKED.to_owned()),
        Some(insert) => insert.refusal(kernel, set).map_or(Ok(insert), Err),
    };
    let mut ebpf = match created(inserts.clone().ok()) {
        // A kernel without maps of sockets does all the rest.
        Err(EbpfError::MapError(error @ MapError::CreateError { .. })) if inserts.is_ok() => {
            inserts = Err(one_line(&error));
            created(None)?
        }
        created => created?,
    };

    let mut off = Vec::new();
    let mut loaded = Vec::new();
    for program in LIFECYCLE.iter().chain(set.socket_programs()) {
        match (load_one(&mut ebpf, program, &btf), program.feature) {
            (Ok(()), _) => loaded.push(program),
            (Err(error @ SetError::Program(..)), Some(feature)) => {
                log::debug!("{feature}: {error:#?}");
                off.push((feature, one_line(&error)));
            }
            (Err(error), _) => return Err(error),
        }
    }
    for (name, _) in set.syscall_programs() {
        let loaded: &mut TracePoint = find(&mut ebpf, name)?;
        loaded.load().map_err(|error| SetError::Program(name, error))?;
    }
    for trap in Trap::ALL {
        let loaded: &mut UProbe = find(&mut ebpf, trap.program())?;
        if let Err(error) = loaded.load() {
            let error = SetError::Program(trap.program(), error);
            log::debug!("{}: {error:#?}", trap.feature());
            off.push((trap.feature(), one_line(&error)));
        }
    }
    let data = DataRings::create(sizes, take(&mut ebpf, "DATA")?).map_err(EbpfError::from)?;
    let control = RingBuf::try_from(take(&mut ebpf, "CONTROL")?).map_err(EbpfError::from)?;
    let wake = Array::try_from(take(&mut ebpf, "WAKE")?).map_err(EbpfError::from)?;
    let left_out = LeftOut::new(
        take(&mut ebpf, "LEFT_OUT")?,
        take(&mut ebpf, "LEFT_OUT_BY")?,
        take(&mut ebpf, "LEFT_OUT_ROUND")?,
    )
    .map_err(EbpfError::from)?;
    let mut sampler: Array<_, [u64; 2]> =
        Array::try_from(take(&mut ebpf, "SAMPLER")?).map_err(EbpfError::from)?;
    sampler.set(0, options.sampling.words(), 0).map_err(EbpfError::from)?;
    let quiet = HashMap::try_from(take(&mut ebpf, "QUIET")?).map_err(EbpfError::from)?;
    let counters = PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?).map_err(EbpfError::from)?;

    let processes = HashMap::try_from(take(&mut ebpf, "GO_PROCESSES")?).map_err(EbpfError::from)?;
    let round = Array::try_from(take(&mut ebpf, "RUNTIME_ROUND")?).map_err(EbpfError::from)?;
    let receivers = HashMap::try_from(take(&mut ebpf, "GO_RECEIVERS")?).map_err(EbpfError::from)?;
    let grpc = HashMap::try_from(take(&mut ebpf, "GO_GRPC")?).map_err(EbpfError::from)?;
    let http2 = HashMap::try_from(take(&mut ebpf, "GO_HTTP2")?).map_err(EbpfError::from)?;
    let python = PoolMaps {
        processes: HashMap::try_from(take(&mut ebpf, "PYTHON_PROCESSES")?)
            .map_err(EbpfError::from)?,
        threads: HashMap::try_from(take(&mut ebpf, "PYTHON_WORKERS")?).map_err(EbpfError::from)?,
        items: HashMap::try_from(take(&mut ebpf, "PYTHON_ITEMS")?).map_err(EbpfError::from)?,
    };

    // Lifecycle first: a connection that is met is then also seen to end.
    for program in loaded {
        let loaded: &mut BtfTracePoint = find(&mut ebpf, program.name)?;
        loaded.attach().map_err(|error| SetError::Program(program.name, error))?;
    }
    if !set.syscall_programs().is_empty() {
        mounts::tracefs().map_err(SetError::Tracefs)?;
    }
    for (name, calls) in set.syscall_programs() {
        let loaded: &mut TracePoint = find(&mut ebpf, name)?;
        for call in *calls {
            loaded
                .attach("syscalls", &format!("sys_exit_{call}"))
                .map_err(|error| SetError::Program(name, error))?;
        }
    }
    let mut firsts = Vec::new();
    let seconds = if kernel.is_preemptible() { set.second_programs() } else { &[] };
    for (first, second) in set.socket_programs().iter().zip(seconds) {
        match attach_second(&mut ebpf, first, second, &btf) {
            Ok(first) => firsts.push(first),
            Err(error) => {
                off.push((Second::FEATURE, one_line(&error)));
                break;
            }
        }
    }
    off.extend(wire::attach(&mut ebpf, &btf, kernel, set, options.wire.as_ref()));
    let enrolment = inserts.and_then(|_| insert::attach(&mut ebpf, &btf));
    let mut enrolment = enrolment.map_err(|why| off.push((insert::FEATURE, why))).ok();
    // The one word that they share: until it is set they do nothing.
    let mut shared: Array<_, u32> =
        Array::try_from(take(&mut ebpf, ".bss")?).map_err(EbpfError::from)?;
    shared.set(0, 1, 0).map_err(EbpfError::from)?;
    let programs = ebpf
        .programs()
        .filter_map(|(name, program)| {
            let fd = program.fd().ok()?.as_fd().try_clone_to_owned().ok()?;
            Some((name.to_owned(), fd))
        })
        .collect();
    let attached = Arc::new(Mutex::new(ebpf));
    let go = GoMaps { processes, round, receivers, grpc, http2 };
    let maps = Maps { go, python, probes: Arc::downgrade(&attached) };
    if let Some(enrolment) = &mut enrolment {
        enrolment.belongs_to(Arc::downgrade(&attached));
    }
    let probes = Probes {
        hooks: set,
        refused: Vec::new(),
        off,
        data,
        control,
        wake,
        left_out,
        sampler,
        quiet,
        enrolment,
        counters,
        runtimes: Some(maps),
        programs,
        _firsts: firsts,
        _attached: attached,
    };
    probes.fire()?;
    Ok(probes)
}

fn load_one(ebpf: &mut Ebpf, program: &Program, btf: &Btf) -> Result<(), SetError> {
    let loaded: &mut BtfTracePoint = find(ebpf, program.name)?;
    loaded.load(program.tracepoint, btf).map_err(|error| SetError::Program(program.name, error))
}

/// Puts a program behind the first one at its tracepoint, which must be attached. The map by which it goes on as that one must be kept.
fn attach_second(
    ebpf: &mut Ebpf,
    first: &Program,
    second: &Second,
    btf: &Btf,
) -> Result<ProgramArray<MapData>, SetError> {
    load_one(ebpf, &second.program, btf)?;
    let loaded: &mut BtfTracePoint = find(ebpf, first.name)?;
    let refused = |error| SetError::Program(second.program.name, error);
    let loaded = loaded.fd().and_then(|fd| Ok(fd.try_clone()?)).map_err(refused)?;
    let mut goes_on_as =
        ProgramArray::try_from(take(ebpf, second.first)?).map_err(EbpfError::from)?;
    goes_on_as.set(0, &loaded, 0).map_err(EbpfError::from)?;
    let attached: &mut BtfTracePoint = find(ebpf, second.program.name)?;
    attached.attach().map_err(refused)?;
    Ok(goes_on_as)
}

impl Probes {
    /// A kernel counter, summed over the CPUs.
    #[must_use]
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters.get(&(counter as u32), 0).map_or(0, |by_cpu| by_cpu.iter().sum())
    }

    /// Which traces are sampled from now on.
    pub(super) fn sample(&mut self, sampling: Sampling) {
        if let Err(error) = self.sampler.set(0, sampling.words(), 0) {
            log::warn!("what goes on the wire is sampled as before: {error}");
        }
    }

    /// The programs that are in the kernel, by name.
    pub fn programs(&self) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        self.programs.iter().map(|(name, fd)| (name.as_str(), fd.as_fd()))
    }

    /// Makes a connection to ourselves and looks whether both of its ends are met: one by its send, one by its
    /// receive. A program that loads and attaches may still never run.
    fn fire(&self) -> Result<(), SetError> {
        let before = self.counter(Counter::ConnectionsMet);
        own_calls::one_exchange()?;
        if self.counter(Counter::ConnectionsMet) >= before + 2 {
            Ok(())
        } else {
            Err(SetError::Silent)
        }
    }
}

fn find<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, SetError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program>,
{
    ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or(SetError::Absent(name))
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, SetError> {
    ebpf.take_map(name).ok_or(SetError::Absent(name))
}

/// The configuration as the words it lies in memory as.
fn words(config: &Config) -> Vec<u32> {
    let mut words = Vec::with_capacity(WORDS);
    for half in [config.seed[0], config.seed[1], config.network_namespace_cookie] {
        let bytes = half.to_ne_bytes();
        words.extend(
            bytes
                .chunks_exact(4)
                .map(|four| u32::from_ne_bytes([four[0], four[1], four[2], four[3]])),
        );
    }
    words.extend([config.flags, config.own_tgid, config.wake_at, config.network_namespace]);
    words.extend(config.offsets);
    words.extend(config.structs);
    words.push(config.reserved);
    words
}

const WORDS: usize = 11 + abi::OFFSETS + abi::STRUCTS;
const _: () =
    assert!(size_of::<Config>() == 4 * WORDS, "words() writes every field once, without padding");

/// Before 5.11 maps count against the limit of locked memory. Where it cannot be lifted, loading says so.
fn lift_memory_limit() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let unlimited = Rlimit { current: None, maximum: None };
    if let Err(error) = setrlimit(Resource::Memlock, unlimited) {
        log::debug!("the limit of locked memory stays as it is: {error}");
    }
}
