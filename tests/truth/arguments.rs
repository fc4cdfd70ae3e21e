//! The command line of the truth, as `cargo xtask truth` fills it in.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use tests::agent::{Hooks, STOP_CROWDED, Setup};
use tests::truth::cases::{ALL, Case};
use tests::truth::table::CLIENTS;

/// Requests with each number of clients, unless told otherwise.
const REQUESTS: usize = 400;

/// What is asked for.
pub(crate) struct Arguments {
    /// Cases whose names contain one of these; all when there is none.
    pub(crate) filters: Vec<String>,
    /// Numbers of clients at once.
    pub(crate) clients: Vec<usize>,
    /// Requests with each of them.
    pub(crate) requests: usize,
    /// The agent is started in the middle of each load.
    pub(crate) late: bool,
    /// The services stand on two hosts in turn, with an agent each.
    pub(crate) across: bool,
    /// Nobody is pinged: the client's requests are all that comes.
    pub(crate) quiet: bool,
    /// The hooks it is to use.
    hooks: Hooks,
    /// Further arguments of `spanwire run`.
    agent: Vec<String>,
    /// Where what the programs say goes.
    pub(crate) folder: PathBuf,
    /// The README, when its table is to be written anew.
    pub(crate) renew: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut asked = Self {
            filters: Vec::new(),
            clients: CLIENTS.to_vec(),
            requests: REQUESTS,
            late: false,
            across: false,
            quiet: false,
            hooks: Hooks::Auto,
            agent: Vec::new(),
            folder: std::env::temp_dir(),
            renew: None,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--concurrency" => asked.clients = vec![value()?.parse()?],
                "--requests" => asked.requests = value()?.parse()?,
                "--quiet" => asked.quiet = true,
                "--across" => asked.across = true,
                "--late" => asked.late = true,
                "--hooks" => asked.hooks = hooks(&value()?)?,
                "--agent" => asked.agent.push(value()?),
                "--folder" => asked.folder = value()?.into(),
                "--renew" => asked.renew = Some(value()?.into()),
                _ => {
                    ensure!(!word.starts_with('-'), "unknown argument {word}");
                    asked.filters.push(word);
                }
            }
        }
        let is_plain = asked.clients == CLIENTS
            && asked.requests == REQUESTS
            && asked.hooks == Hooks::Auto
            && !asked.late
            && !asked.across
            && !asked.quiet
            && asked.agent.is_empty();
        ensure!(
            asked.renew.is_none() || is_plain,
            "the README's table is of {CLIENTS:?} clients and {REQUESTS} requests each"
        );
        Ok(asked)
    }

    /// How the agent is to be started.
    pub(crate) fn setup(&self) -> Setup {
        let setup = Setup::default().hooks(self.hooks).ends_within(STOP_CROWDED);
        self.agent.iter().fold(setup, Setup::argument)
    }

    /// The cases that are asked for.
    pub(crate) fn cases(&self) -> impl Iterator<Item = &'static Case> {
        let wants = |name: &str| {
            self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(&**filter))
        };
        ALL.iter().filter(move |case| wants(case.name))
    }
}

fn hooks(word: &str) -> anyhow::Result<Hooks> {
    let mut all = [Hooks::Auto].into_iter().chain(Hooks::FORCED);
    all.find(|hooks| hooks.word() == word).with_context(|| format!("there are no hooks {word}"))
}
