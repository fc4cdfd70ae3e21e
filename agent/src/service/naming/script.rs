//! Names of programs that an interpreter was given as a file: one rule, and a row of words for each interpreter.

use super::title::{self, bracketed};
use super::{base_name, file_name, folder_of};
use crate::service::ProcessFacts;

/// What is special about an interpreter's command line.
pub(super) struct Interpreter {
    /// Options that take the next argument.
    with_value: &'static [&'static str],
    /// Options whose value is the program: it has no name.
    inline: &'static [&'static str],
    /// Words before the script.
    commands: &'static [&'static str],
    /// Endings of script names.
    endings: &'static [&'static str],
    /// Scripts that run whatever the working directory holds.
    runners: &'static [&'static str],
}

/// Node.js, and what is called like it.
pub(super) const NODE: Interpreter = Interpreter {
    with_value: &[
        "-r",
        "--require",
        "--import",
        "--loader",
        "--experimental-loader",
        "-C",
        "--conditions",
        "--env-file",
        "--inspect-port",
        "--title",
        "-c",
        "--config",
    ],
    inline: &["-e", "--eval", "-p", "--print"],
    commands: &["run", "start", "serve"],
    endings: &[".js", ".mjs", ".cjs", ".ts", ".mts", ".tsx"],
    runners: &[
        "npm", "npx", "yarn", "pnpm", "next", "nuxt", "nest", "ts-node", "tsx", "nodemon",
        "npm-cli", "npx-cli", "vite",
    ],
};
/// Ruby.
pub(super) const RUBY: Interpreter = Interpreter {
    with_value: &["-I", "-r", "-C", "-E"],
    inline: &["-e"],
    commands: &[],
    endings: &[".rb", ".ru"],
    runners: &[
        "rails",
        "puma",
        "unicorn",
        "rackup",
        "sidekiq",
        "bundle",
        "thin",
        "passenger",
        "falcon",
    ],
};
/// PHP's command line.
pub(super) const PHP: Interpreter = Interpreter {
    with_value: &["-c", "-d", "-t", "-z", "-B", "-R", "-F", "-E"],
    inline: &["-r", "--run"],
    commands: &["-f"],
    endings: &[".php", ".phar"],
    runners: &["artisan", "console"],
};
/// Perl.
pub(super) const PERL: Interpreter = Interpreter {
    with_value: &["-I"],
    inline: &["-e", "-E"],
    commands: &[],
    endings: &[".pl", ".psgi"],
    runners: &["plackup", "starman"],
};
/// Shells.
pub(super) const SHELL: Interpreter = Interpreter {
    with_value: &["-o", "-O", "--rcfile", "--init-file"],
    inline: &["-c"],
    commands: &[],
    endings: &[".sh", ".bash"],
    runners: &[],
};
/// .NET.
pub(super) const DOTNET: Interpreter = Interpreter {
    with_value: &[
        "--runtimeconfig",
        "--depsfile",
        "--additionalprobingpath",
        "--fx-version",
        "--roll-forward",
    ],
    inline: &["run", "watch", "test"],
    commands: &["exec"],
    endings: &[".dll", ".exe"],
    runners: &[],
};

/// Whether this is a program that runs what its working directory holds.
pub(super) fn is_runner(program: &str) -> bool {
    [NODE, RUBY, PHP, PERL].iter().any(|interpreter| interpreter.runners.contains(&program))
}

/// The name of the script that an interpreter runs.
pub(super) fn name(
    facts: &ProcessFacts,
    arguments: &[String],
    interpreter: &Interpreter,
) -> Option<String> {
    if let Some(title) = title::title(facts) {
        return titled(facts, title, interpreter);
    }
    let path = script(arguments, interpreter)?;
    let base = base_name(path);
    let stem =
        interpreter.endings.iter().find_map(|ending| base.strip_suffix(ending)).unwrap_or(base);
    if interpreter.runners.contains(&stem) || path.contains("/node_modules/") {
        return folder_of(&facts.directory).map(str::to_owned);
    }
    Some(file_name(facts, path, stem))
}

/// The name in a title, by the program that wrote it.
fn titled(facts: &ProcessFacts, title: &str, interpreter: &Interpreter) -> Option<String> {
    let mut words = title.split(' ');
    let program = words.next().unwrap_or_default();
    match program.trim_end_matches(':') {
        // `puma 6.4.0 (tcp://0.0.0.0:3000) [shop]`, `puma: cluster worker 0: 17 [shop]`.
        "puma" => bracketed(title).map(str::to_owned),
        // `sidekiq 7.2.0 shop [0 of 10 busy]`.
        "sidekiq" => words.nth(1).filter(|tag| !tag.starts_with('[')).map(str::to_owned),
        // `Passenger RubyApp: /srv/shop (production)`.
        "Passenger" => words.nth(1).and_then(folder_of).map(str::to_owned),
        // `PM2 v5.3.0: God Daemon (/root/.pm2)`.
        "PM2" => Some("pm2".to_owned()),
        // PM2 again, of what it started: `node /srv/shop/server.js`.
        "node" => {
            let arguments = title::arguments(title);
            let whole = ProcessFacts { arguments: Vec::new(), ..facts.clone() };
            name(&whole, &arguments, interpreter)
        }
        // `npm start`, `next-server (v14.1.0)`: what the working directory holds.
        _ => None,
    }
}

/// The first argument that is neither an option nor an option's value.
fn script<'a>(arguments: &'a [String], interpreter: &Interpreter) -> Option<&'a str> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let argument = argument.as_str();
        if interpreter.inline.contains(&argument) {
            return None;
        }
        if interpreter.with_value.contains(&argument) {
            rest.next();
        } else if !argument.starts_with('-') && !interpreter.commands.contains(&argument) {
            return Some(argument);
        }
    }
    None
}
