//! A good name for a process: what its operator calls it, never what runs it.
//!
//! Names come from the process's own environment, else from its script, module, archive, class or executable. A file
//! called `app`, `main` or `server` says nothing: then its folder's name does.

mod java;
mod php;
mod python;
mod script;

use crate::service::ProcessFacts;
use crate::service::environment::Environment;

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

/// Folder names that say how files are laid out, not whose they are.
const GENERIC_FOLDERS: [&str; 36] = [
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
    "work",
    "www",
];

/// Programs that run other people's programs, by the name of their executable without its version.
const RUNTIMES: [(&str, Runtime); 18] = [
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
    Perl,
    Shell,
    Uwsgi,
}

/// The service's name. Empty only when nothing at all is known of the process.
pub(super) fn name(facts: &ProcessFacts, environment: &Environment) -> String {
    if let Some(name) = environment.value("service.name") {
        return name.to_owned();
    }
    let runtime = runtime(facts);
    let arguments = facts.arguments.get(1..).unwrap_or_default();
    let found = match runtime {
        Runtime::Native => native(facts),
        Runtime::Python => python::name(facts, arguments),
        Runtime::Java => java::name(facts, arguments),
        Runtime::Node => script::name(facts, arguments, &script::NODE),
        Runtime::Ruby => script::name(facts, arguments, &script::RUBY),
        Runtime::Perl => script::name(facts, arguments, &script::PERL),
        Runtime::Shell => script::name(facts, arguments, &script::SHELL),
        Runtime::Dotnet => script::name(facts, arguments, &script::DOTNET),
        Runtime::Php => php::name(facts, arguments),
        Runtime::PhpFpm => Some("php-fpm".to_owned()),
        Runtime::Uwsgi => python::served_by_uwsgi(facts, arguments),
    };
    found
        .filter(|name| !name.is_empty())
        .or_else(|| folder_of(&facts.directory).map(str::to_owned))
        .unwrap_or_else(|| unversioned(base_name(executable(facts))).to_owned())
}

/// The runtime's language as `telemetry.sdk.language` has it; `unknown` for native programs: how they were made
/// cannot be told from their arguments.
pub(super) fn language(facts: &ProcessFacts) -> &'static str {
    match runtime(facts) {
        Runtime::Python | Runtime::Uwsgi => "python",
        Runtime::Java => "java",
        Runtime::Node => "nodejs",
        Runtime::Ruby => "ruby",
        Runtime::Php | Runtime::PhpFpm => "php",
        Runtime::Dotnet => "dotnet",
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

fn runtime(facts: &ProcessFacts) -> Runtime {
    let program = unversioned(base_name(executable(facts)));
    RUNTIMES
        .iter()
        .find(|(name, _)| *name == program)
        .map_or(Runtime::Native, |(_, runtime)| *runtime)
}

/// A program that is itself the service: its name, or its folder's where it is just called `server`.
fn native(facts: &ProcessFacts) -> Option<String> {
    let path = executable(facts);
    let base = base_name(path);
    if base.is_empty() {
        return None;
    }
    Some(file_name(facts, path, base).to_owned())
}

/// The name of a file: its stem, or where that says nothing the nearest folder that does, or the stem after all.
fn file_name<'a>(facts: &'a ProcessFacts, path: &'a str, stem: &'a str) -> &'a str {
    if !is_generic(stem) {
        return stem;
    }
    let folder = path.rsplit_once('/').map(|(folder, _)| folder);
    let above = match folder {
        Some(folder) if path.starts_with('/') => folder_of(folder),
        // Below the working directory, or in it.
        Some(folder) => folder_of(folder).or_else(|| folder_of(&facts.directory)),
        None => folder_of(&facts.directory),
    };
    above.unwrap_or(stem)
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

/// What a title that was written over the arguments has in its last brackets: `gunicorn: worker [shop]`.
fn bracketed(title: &str) -> Option<&str> {
    let inner = title.trim_end().strip_suffix(']')?.rsplit_once('[')?.1;
    (!inner.is_empty()).then_some(inner)
}

#[cfg(test)]
mod tests;
