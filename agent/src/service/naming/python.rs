//! Names of Python programs: scripts, modules, and what the usual servers were told to serve.

use super::{base_name, bracketed, file_name, is_generic};
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
/// Their options that name the application.
const APPLICATION: [&str; 6] = ["--app", "-A", "--module", "-w", "--wsgi", "--wsgi-file"];

/// How the interpreter was told what to run.
enum Program<'a> {
    Script(&'a str, &'a [String]),
    Module(&'a str, &'a [String]),
    /// From the command line or standard input: has no name of its own.
    Nameless,
}

/// The name of what a Python interpreter runs.
pub(super) fn name(facts: &ProcessFacts, arguments: &[String]) -> Option<String> {
    // Written over the arguments by setproctitle.
    if let Some(title) = facts.arguments.first().filter(|title| title.starts_with("gunicorn:")) {
        return bracketed(title).and_then(|application| module(facts, application));
    }
    match program(arguments) {
        Program::Script(path, rest) => {
            let base = base_name(path);
            if SERVERS.contains(&base) {
                return served(facts, rest);
            }
            let stem =
                base.strip_suffix(".py").or_else(|| base.strip_suffix(".pyc")).unwrap_or(base);
            Some(file_name(facts, path, stem).to_owned())
        }
        Program::Module(name, rest) if SERVERS.contains(&name) => served(facts, rest),
        Program::Module(name, _) => module(facts, name),
        Program::Nameless => None,
    }
}

/// The name of what uWSGI, a program of its own, was told to serve.
pub(super) fn served_by_uwsgi(facts: &ProcessFacts, arguments: &[String]) -> Option<String> {
    served(facts, arguments).or_else(|| Some("uwsgi".to_owned()))
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
    for (at, argument) in arguments.iter().enumerate() {
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (argument.as_str(), arguments.get(at + 1).map(String::as_str)),
        };
        // `-w` is the number of workers elsewhere.
        if APPLICATION.contains(&option)
            && let Some(value) = value.filter(|value| is_module(value) || value.ends_with(".py"))
        {
            return module(facts, value);
        }
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

/// The name of a module (`shop.main:app`, `shop.wsgi`, `shop/app.py`): its first part that says something, else the
/// working directory's, else its first part.
fn module(facts: &ProcessFacts, spec: &str) -> Option<String> {
    let path = spec.split([':', '(']).next().unwrap_or_default();
    if let Some(stem) = path.strip_suffix(".py") {
        return Some(file_name(facts, path, base_name(stem)).to_owned());
    }
    let dotted = path.replace('/', ".");
    let mut parts = dotted.split('.').filter(|part| !part.is_empty());
    let first = parts.clone().next()?;
    let found = parts.find(|part| !is_generic(part) && *part != "src");
    Some(found.unwrap_or_else(|| file_name(facts, "", first)).to_owned())
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
