//! Names of Python programs: scripts, modules, and what the usual servers were told to serve.

use super::title::{self, bracketed};
use super::{base_name, file_name, is_generic};
use crate::service::ProcessFacts;

/// Options of the interpreter that take the next argument (`python3 --help-all`).
const WITH_VALUE: [char; 2] = ['W', 'X'];
/// Programs that serve an application named in their arguments.
const SERVERS: [&str; 9] = [
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "daphne",
    "granian",
    "waitress-serve",
    "waitress",
    "celery",
    "flask",
];
/// Packages of the standard library that are run as programs: the whole name says what they are.
const STANDARD_LIBRARY: [&str; 10] = [
    "asyncio",
    "ftplib",
    "http",
    "idlelib",
    "pydoc",
    "smtpd",
    "socketserver",
    "test",
    "wsgiref",
    "xmlrpc",
];
/// Options by which a server is told the name to show.
const OWN_NAME: [&str; 3] = ["--name", "--proc-name", "-n"];
/// What its parent makes a worker of `multiprocessing` with: it works for its parent and has no name of its own.
const WORKER: &str = "from multiprocessing.";
/// What Celery's titles begin with.
const CELERY: &str = "[celeryd: ";
/// Their options that name the application.
const APPLICATION: [&str; 6] = ["--app", "-A", "--module", "-w", "--wsgi", "--wsgi-file"];

/// How the interpreter was told what to run.
enum Program<'a> {
    Script(&'a str, &'a [String]),
    Module(&'a str, &'a [String]),
    /// From the command line or standard input: has no name of its own.
    Nameless,
}

/// Whether a name is that of a program that serves other people's applications.
pub(super) fn is_server(program: &str) -> bool {
    SERVERS.contains(&program)
}

/// Whether its parent made this process to work for it: it is what its parent is.
pub(super) fn is_worker(facts: &ProcessFacts) -> bool {
    let arguments = facts.arguments.get(1..).unwrap_or_default();
    let spawned = arguments.windows(2).any(|pair| pair[0] == "-c" && pair[1].starts_with(WORKER));
    // `[celeryd: celery@host:ForkPoolWorker-1]`: only the main process says what is served.
    let pooled =
        title::title(facts).is_some_and(|title| title.starts_with(CELERY) && title.ends_with(']'));
    spawned || pooled
}

/// The name of what a Python interpreter runs.
pub(super) fn name(facts: &ProcessFacts, arguments: &[String]) -> Option<String> {
    // Written over the arguments by setproctitle.
    if let Some(title) = title::title(facts) {
        if title.starts_with("gunicorn: ") {
            return bracketed(title).and_then(|application| module(facts, application));
        }
        if title.starts_with(CELERY) {
            return served(facts, &title::arguments(title));
        }
    }
    match program(arguments) {
        Program::Script(path, rest) => {
            let base = base_name(path);
            if is_server(base) {
                return server(facts, base, rest);
            }
            let stem =
                base.strip_suffix(".py").or_else(|| base.strip_suffix(".pyc")).unwrap_or(base);
            Some(file_name(facts, path, stem))
        }
        Program::Module(name, rest) if is_server(name) => server(facts, name, rest),
        Program::Module(name, _) => match name.split_once('.') {
            Some((package, _)) if STANDARD_LIBRARY.contains(&package) => Some(name.to_owned()),
            _ => module(facts, name),
        },
        Program::Nameless => None,
    }
}

/// The name a server was told to show, else that of what it serves.
fn server(facts: &ProcessFacts, server: &str, arguments: &[String]) -> Option<String> {
    // Elsewhere `-n` means something else.
    let own = (server == "gunicorn").then(|| option(arguments, &OWN_NAME, |name| !name.is_empty()));
    own.flatten().map(str::to_owned).or_else(|| served(facts, arguments))
}

/// The name of what uWSGI, a program of its own, was told to serve; or of the file that tells it.
pub(super) fn served_by_uwsgi(facts: &ProcessFacts, arguments: &[String]) -> Option<String> {
    let told = || {
        let files = arguments.iter().filter(|argument| !argument.starts_with('-'));
        let file =
            files.map(|file| file.split_once(':').map_or(file.as_str(), |(path, _)| path)).find(
                |file| [".ini", ".yaml", ".yml", ".xml", ".json"].iter().any(|e| file.ends_with(e)),
            )?;
        let stem = base_name(file).split('.').next().filter(|stem| *stem != "uwsgi");
        Some(file_name(facts, file, stem.unwrap_or("app"))).filter(|name| name != "app")
    };
    served(facts, arguments).or_else(told).or_else(|| Some("uwsgi".to_owned()))
}

fn program(arguments: &[String]) -> Program<'_> {
    let mut rest = arguments;
    while let Some((argument, after)) = rest.split_first() {
        rest = after;
        let Some(options) = argument.strip_prefix('-') else {
            return Program::Script(argument, rest);
        };
        if options.is_empty() {
            return Program::Nameless;
        }
        if options.starts_with('-') {
            if options == "-check-hash-based-pycs" {
                rest = rest.get(1..).unwrap_or_default();
            }
            continue;
        }
        for (at, option) in options.char_indices() {
            let own = &options[at + option.len_utf8()..];
            match option {
                'c' => return Program::Nameless,
                'm' if !own.is_empty() => return Program::Module(own, rest),
                'm' => {
                    return rest
                        .split_first()
                        .map_or(Program::Nameless, |(module, rest)| Program::Module(module, rest));
                }
                _ if WITH_VALUE.contains(&option) => {
                    if own.is_empty() {
                        rest = rest.get(1..).unwrap_or_default();
                    }
                    break;
                }
                _ => {}
            }
        }
    }
    Program::Nameless
}

/// What a server's arguments name: `module:attribute`, else a module's dotted name, else what an option says.
fn served(facts: &ProcessFacts, arguments: &[String]) -> Option<String> {
    // `-w` is the number of workers elsewhere.
    let is_application_file = |value: &&str| is_module(value) || value.ends_with(".py");
    if let Some(value) = option(arguments, &APPLICATION, is_application_file) {
        return module(facts, value);
    }
    if let Some(application) = arguments.iter().find(|argument| is_application(argument)) {
        return module(facts, application);
    }
    // A dotted name alone: rather one that is no option's value.
    let names = || arguments.iter().enumerate().filter(|(_, argument)| is_module(argument));
    let free = names().find(|(at, _)| *at == 0 || !arguments[at - 1].starts_with('-'));
    let dotted = names().rfind(|(_, argument)| argument.contains('.'));
    free.or(dotted).and_then(|(_, name)| module(facts, name))
}

/// The value of the first of these options that has a fitting one, as `--option value` or `--option=value`.
fn option<'a>(
    arguments: &'a [String],
    options: &[&str],
    fits: impl Fn(&&'a str) -> bool,
) -> Option<&'a str> {
    arguments.iter().enumerate().find_map(|(at, argument)| {
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (argument.as_str(), arguments.get(at + 1).map(String::as_str)),
        };
        value.filter(|value| options.contains(&option) && fits(value))
    })
}

/// The name of a module (`shop.main:app`, `shop.wsgi`, `shop/app.py`): its first part that says something, else the
/// working directory's, else its first part.
fn module(facts: &ProcessFacts, spec: &str) -> Option<String> {
    let path = spec.split([':', '(']).next().unwrap_or_default();
    if let Some(stem) = path.strip_suffix(".py") {
        return Some(file_name(facts, path, base_name(stem)));
    }
    let dotted = path.replace('/', ".");
    let mut parts = dotted.split('.').filter(|part| !part.is_empty());
    let first = parts.clone().next()?;
    let found = parts.find(|part| !is_generic(part) && *part != "src");
    Some(found.map_or_else(|| file_name(facts, "", first), str::to_owned))
}

/// `module:attribute`, perhaps called.
fn is_application(argument: &str) -> bool {
    let Some((module, attribute)) = argument.split_once(':') else { return false };
    let attribute = attribute.split('(').next().unwrap_or_default();
    is_module(module) && is_module(attribute)
}

/// A dotted Python name.
fn is_module(text: &str) -> bool {
    let text = text.split([':', '(']).next().unwrap_or_default();
    !text.is_empty()
        && text.split('.').all(|part| {
            part.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
}
