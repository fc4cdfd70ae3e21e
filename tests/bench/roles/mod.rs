//! The parts that the bench plays itself, each in a process of its own: this same binary, started with `--role`.
//!
//! A role is told what to do by lines on its standard input and answers each with one line of numbers; it ends when
//! its input does, so that none outlives the bench. It must not do anything between an order and its answer but what
//! is measured.

pub(crate) mod calls;
pub(crate) mod idle;
pub(crate) mod rate;
pub(crate) mod serve;
pub(crate) mod spawn;
mod spin;
pub(crate) mod yardstick;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};

/// A running role.
pub(crate) struct Role {
    name: String,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Role {
    /// Starts one, on the CPU that this thread is bound to.
    pub(crate) fn start(name: &str, arguments: &[String]) -> anyhow::Result<Self> {
        Self::start_as(name, name, arguments)
    }

    /// Starts one as a service of that name.
    pub(crate) fn start_as(
        service: &str,
        name: &str,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--role", name])
            .args(arguments)
            .env("OTEL_SERVICE_NAME", service)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting the role {name}"))?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { name: name.to_owned(), child, orders, answers })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order and waits for what comes of it.
    pub(crate) fn order(&mut self, order: &str) -> anyhow::Result<Vec<f64>> {
        let orders = self.orders.as_mut().context("it is ending")?;
        writeln!(orders, "{order}").with_context(|| format!("{}: it has ended", self.name))?;
        self.answer()
    }

    /// Waits for its next line.
    pub(crate) fn answer(&mut self) -> anyhow::Result<Vec<f64>> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the role {} ended: see its message", self.name);
        }
        line.split_whitespace()
            .map(|word| word.parse().with_context(|| format!("{} said {line:?}", self.name)))
            .collect()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.orders = None; // the end of its input: it ends
        let _ = self.child.wait();
    }
}

/// In the role's own process: plays it until the input ends.
pub(crate) fn play(arguments: &[String]) -> anyhow::Result<()> {
    let (name, arguments) = arguments.split_first().context("--role needs a name")?;
    match name.as_str() {
        "calls" => calls::play(arguments),
        "idle" => idle::play(),
        "rate" => rate::play(arguments),
        "serve" => serve::play(),
        "spawn" => spawn::play(),
        _ => bail!("there is no role {name}"),
    }
}

/// Answers every order of the input.
fn obey(mut act: impl FnMut(&[&str]) -> anyhow::Result<Vec<f64>>) -> anyhow::Result<()> {
    for order in std::io::stdin().lines() {
        let order = order?;
        let words: Vec<&str> = order.split_whitespace().collect();
        say(&act(&words)?)?;
    }
    Ok(())
}

fn say(numbers: &[f64]) -> anyhow::Result<()> {
    let words: Vec<String> = numbers.iter().map(f64::to_string).collect();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", words.join(" "))?;
    Ok(out.flush()?)
}
