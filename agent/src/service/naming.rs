//! A good name for a process: what its operator calls it, never what runs it.
//!
//! In this order: the process's own environment, the systemd unit it leads, its script, module, archive, class or
//! executable. A file called `app`, `main` or `server` says nothing: then its folder's name does, and where that says
//! nothing either, its container's.

mod erlang;
mod java;
mod php;
mod python;
mod script;
mod title;
mod unit;

use crate::service::environment::Environment;
use crate::service::{ProcessFacts, cgroup};

/// File and module names that say what a part is, not which service it belongs to.
const GENERIC_FILES: [&str; 24] = [
    "__main__",
    "api",
    "app",
    "application",
    "asgi",
    "boot",
    "bootstrap",
    "bundle",
    "cli",
    "entrypoint",
    "index",
    "init",
    "launcher",
    "main",
    "manage",
    "program",
    "run",
    "runserver",
    "server",
    "serve",
    "start",
    "web",
    "wsgi",
    "www",
];

/// Parts that a service may have beside what answers requests: told apart by their own name behind the folder's.
const PARTS: [&str; 8] =
    ["consumer", "cron", "daemon", "producer", "queue", "scheduler", "service", "worker"];

/// Folder names that say how files are laid out, not whose they are.
const GENERIC_FOLDERS: [&str; 40] = [
    ".venv",
    "app",
    "application",
    "apps",
    "bin",
    "build",
    "cmd",
    "code",
    "current",
    "debug",
    "deploy",
    "dist",
    "env",
    "exe",
    "home",
    "html",
    "lib",
    "libs",
    "local",
    "node_modules",
    "opt",
    "out",
    "public",
    "publish",
    "release",
    "releases",
    "root",
    "sbin",
    "scripts",
    "site-packages",
    "src",
    "srv",
    "target",
    "tmp",
    "usr",
    "var",
    "venv",
    "virtualenv",
    "work",
    "www",
];

/// Programs that run other people's programs, by the name of their executable without its version.
const RUNTIMES: [(&str, Runtime); 20] = [
    ("python", Runtime::Python),
    ("pypy", Runtime::Python),
    ("java", Runtime::Java),
    ("node", Runtime::Node),
    ("nodejs", Runtime::Node),
    ("bun", Runtime::Node),
    ("deno", Runtime::Node),
    ("ruby", Runtime::Ruby),
    ("php", Runtime::Php),
    ("php-cgi", Runtime::Php),
    ("php-fpm", Runtime::PhpFpm),
    ("dotnet", Runtime::Dotnet),
    ("mono", Runtime::Dotnet),
    ("beam.smp", Runtime::Erlang),
    ("perl", Runtime::Perl),
    ("sh", Runtime::Shell),
    ("bash", Runtime::Shell),
    ("dash", Runtime::Shell),
    ("uwsgi", Runtime::Uwsgi),
    ("uwsgi-core", Runtime::Uwsgi),
];

/// What runs a process's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runtime {
    Native,
    Python,
    Java,
    Node,
    Ruby,
    Php,
    PhpFpm,
    Dotnet,
    Erlang,
    Perl,
    Shell,
    Uwsgi,
}

/// Programs that start another one and wait for it: what they lead is that other one.
const WRAPPERS: [&str; 9] =
    ["catatonit", "dumb-init", "env", "runuser", "s6-supervise", "su", "sudo", "timeout", "tini"];

/// Executables that are whatever they are called as: a whole Alpine Linux is one of them.
const MANY_IN_ONE: [&str; 3] = ["busybox", "coreutils", "toybox"];

/// The service's name; `unit` is the systemd unit that its instance leads. Empty only when nothing at all is known of
/// the process.
pub(super) fn name(facts: &ProcessFacts, environment: &Environment, unit: Option<&str>) -> String {
    if let Some(name) = environment.value("service.name") {
        return name.to_owned();
    }
    if let Some(told) = java::told(&facts.arguments).filter(|_| runtime(facts) == Runtime::Java) {
        return told.to_owned();
    }
    // A unit of PHP-FPM serves many sites.
    if let Some(pool) = php::pool(facts).filter(|_| runtime(facts) == Runtime::PhpFpm) {
        return pool.to_owned();
    }
    if let Some(unit) = unit.and_then(unit::name) {
        return unit;
    }
    let own = own_name(facts);
    // Many services are a `server.js` in a folder `/app`.
    if !facts.container_name.is_empty() && tells_nothing(&own) {
        return facts.container_name.clone();
    }
    own
}

/// Whether the name of what a process runs does not tell which service it is.
fn tells_nothing(name: &str) -> bool {
    is_generic(name) || is_runtime(name) || PARTS.contains(&name)
}

/// The name that a process's program and arguments give.
fn own_name(facts: &ProcessFacts) -> String {
    let runtime = runtime(facts);
    let arguments = facts.arguments.get(1..).unwrap_or_default();
    let found = match runtime {
        Runtime::Native => native(facts),
        Runtime::Python => python::name(facts, arguments),
        Runtime::Java => java::name(facts, arguments),
        Runtime::Node => script::name(facts, arguments, &script::NODE),
        Runtime::Ruby => script::name(facts, arguments, &script::RUBY),
        Runtime::Perl => script::name(facts, arguments, &script::PERL),
        // Without a script it is somebody's prompt, wherever that is.
        Runtime::Shell => script::name(facts, arguments, &script::SHELL)
            .or_else(|| Some(unversioned(program(facts)).to_owned())),
        Runtime::Dotnet => script::name(facts, arguments, &script::DOTNET),
        Runtime::Erlang => erlang::name(arguments),
        Runtime::Php => php::name(facts, arguments),
        Runtime::PhpFpm => Some("php-fpm".to_owned()),
        Runtime::Uwsgi => python::served_by_uwsgi(facts, arguments),
    };
    found
        .filter(|name| !name.is_empty())
        .or_else(|| folder_of(&facts.directory).map(str::to_owned))
        .unwrap_or_else(|| unversioned(base_name(executable(facts))).to_owned())
}

/// Whether `child` works for its parent: the same program in the same container under the same name, or made by it to
/// work for it.
pub(super) fn is_kin(parent: &ProcessFacts, child: &ProcessFacts) -> bool {
    let name = |facts| name(facts, &Environment::of(facts), None);
    parent.exe == child.exe
        && cgroup::container(&parent.cgroup) == cgroup::container(&child.cgroup)
        && (is_worker(child) || name(parent) == name(child) || php::pool(child).is_some())
}

/// Whether a process has no name of its own, because its parent made it to work for it.
pub(super) fn is_worker(facts: &ProcessFacts) -> bool {
    runtime(facts) == Runtime::Python && python::is_worker(facts)
}

/// Whether a process only starts another one and waits: a shell, `sudo`, `npm start`.
pub(super) fn is_wrapper(facts: &ProcessFacts) -> bool {
    let base = base_name(executable(facts));
    let starts = |argument: &String| {
        let program = base_name(argument.split(' ').next().unwrap_or_default());
        script::is_runner(program.split('.').next().unwrap_or_default())
    };
    match runtime(facts) {
        Runtime::Shell => true,
        Runtime::Node => facts.arguments.iter().take(2).any(starts),
        Runtime::Native => WRAPPERS.contains(&base),
        _ => false,
    }
}

/// The runtime's language as `telemetry.sdk.language` has it; `unknown` for native programs: how they were made
/// cannot be told from their arguments.
pub(crate) fn language(facts: &ProcessFacts) -> &'static str {
    match runtime(facts) {
        Runtime::Python | Runtime::Uwsgi => "python",
        Runtime::Java => "java",
        Runtime::Node => "nodejs",
        Runtime::Ruby => "ruby",
        Runtime::Php | Runtime::PhpFpm => "php",
        Runtime::Dotnet => "dotnet",
        Runtime::Erlang => "erlang",
        Runtime::Perl => "perl",
        Runtime::Native | Runtime::Shell => "unknown",
    }
}

/// Whether more than its first argument is needed to name a process: it runs somebody else's program.
pub(crate) fn is_named_by_arguments(facts: &ProcessFacts) -> bool {
    runtime(facts) != Runtime::Native
}

/// Path of the executable, or the best stand-in for it.
pub(super) fn executable(facts: &ProcessFacts) -> &str {
    // A program that was replaced while it runs, as by every package upgrade.
    let exe = facts.exe.strip_suffix(" (deleted)").unwrap_or(&facts.exe);
    match (exe, facts.arguments.first()) {
        ("", Some(first)) => first,
        ("", None) => &facts.comm,
        _ => exe,
    }
}

/// The last part of a path.
pub(super) fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// The name of the program: of the executable, or of what it is called as where one file is many programs.
fn program(facts: &ProcessFacts) -> &str {
    let base = base_name(executable(facts));
    if !MANY_IN_ONE.contains(&base) {
        return base;
    }
    let mut called =
        facts.arguments.iter().map(|argument| base_name(argument.trim_start_matches('-')));
    called.find(|name| !name.is_empty() && *name != base).unwrap_or(base)
}

fn runtime(facts: &ProcessFacts) -> Runtime {
    let program = unversioned(program(facts));
    RUNTIMES
        .iter()
        .find(|(name, _)| *name == program)
        .map_or(Runtime::Native, |(_, runtime)| *runtime)
}

/// Whether a name is that of a program that runs other people's programs.
fn is_runtime(name: &str) -> bool {
    RUNTIMES.iter().any(|(known, _)| *known == unversioned(name))
}

/// A program that is itself the service: its name, or its folder's where it is just called `server`.
fn native(facts: &ProcessFacts) -> Option<String> {
    let path = executable(facts);
    let base = program(facts);
    // What `go run` made is in a folder of its own, and called after the source's folder or file.
    let made_here = path.contains("/go-build");
    if base.is_empty() || (made_here && is_generic(base)) {
        return None;
    }
    Some(file_name(facts, path, base))
}

/// The name of a file: its stem, or where that says nothing the nearest folder that does, or the stem after all. A
/// part's name comes behind the folder's.
fn file_name(facts: &ProcessFacts, path: &str, stem: &str) -> String {
    let part = PARTS.contains(&stem);
    if !part && !is_generic(stem) {
        return stem.to_owned();
    }
    let folder = path.rsplit_once('/').map(|(folder, _)| folder);
    let above = match folder {
        Some(folder) if path.starts_with('/') => folder_of(folder),
        // Below the working directory, or in it.
        Some(folder) => folder_of(folder).or_else(|| folder_of(&facts.directory)),
        None => folder_of(&facts.directory),
    };
    match above {
        Some(folder) if part => format!("{folder}-{stem}"),
        Some(folder) => folder.to_owned(),
        None => stem.to_owned(),
    }
}

/// The name of the nearest folder, from the last upwards, that says whose files these are.
fn folder_of(path: &str) -> Option<&str> {
    path.rsplit('/').find(|part| {
        !part.is_empty()
            && *part != "."
            && *part != ".."
            && !GENERIC_FOLDERS.contains(part)
            && !part.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether a file's or module's name says nothing.
fn is_generic(stem: &str) -> bool {
    GENERIC_FILES.contains(&stem.to_ascii_lowercase().as_str())
}

/// `python3.11` without its version. A program that is nothing but a version keeps it.
fn unversioned(program: &str) -> &str {
    let short = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let short = short.strip_suffix('-').unwrap_or(short);
    // `apache2` is a name: only what we know by its short name is shortened.
    if RUNTIMES.iter().any(|(name, _)| *name == short) { short } else { program }
}

#[cfg(test)]
mod tests;
