//! Programs as they are, in several languages: each takes the tour, and says and sends the same with the agent and without.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tests::agent::Hooks;
use tests::otlp::Kind;
use tests::outcome::TestResult;
use tests::process::Program;
use tests::programs::{go, installed, java, node, npm, pypi, python};
use tests::tour::{self, TOUR};
use tests::wait::Deadline;

use super::{Ground, are_spans, named, need};

pub(super) fn as_they_are() -> TestResult {
    let ground = Ground::start()?;
    let port = ground.port.to_string();
    let address = format!("127.0.0.1:{port}");
    // How a client is told whom to ask.
    let apart: &[&str] = &["127.0.0.1", &port];
    let together: &[&str] = &[&address];
    let clients: [(&str, anyhow::Result<Command>, &[&str]); 7] = [
        ("http.client", python::tour_client(), apart),
        ("requests", pypi::tour_client("requests"), apart),
        ("aiohttp", pypi::tour_client("aiohttp"), apart),
        ("node http", node::tour_client("http"), apart),
        ("node fetch", node::tour_client("fetch"), apart),
        ("axios", npm::tour_client("axios"), apart),
        ("net/http", go::tour_client(), together),
    ];
    let mut commands = Vec::new();
    for (name, command, server) in clients {
        let mut command = command.with_context(|| name.to_owned())?;
        command.args(server).args(tour::arguments());
        commands.push((name, command));
    }
    let bodies = ground.folder.path();
    commands.push(("curl", curl(&address, bodies)?));
    let ask_all = |mut agent: Option<&mut _>| {
        let each = commands.iter().map(|(name, command)| {
            let came = ground.ask(command, agent.as_deref_mut());
            came.with_context(|| (*name).to_owned())
        });
        let came = each.collect::<anyhow::Result<Vec<_>>>()?;
        take_bodies(bodies)?;
        anyhow::Ok(came)
    };
    let without = ask_all(None)?;
    let mut agent = named(Hooks::Auto, "python3*,node,go-tourclient*,curl").start()?;
    need(&agent)?;
    let with = ask_all(Some(&mut agent))?;
    let stopped = agent.stop()?;
    let mut all = Vec::new();
    for ((name, _), (without, with)) in commands.iter().zip(without.iter().zip(&with)) {
        let lines = if *name == "curl" { curl_lines() } else { tour::lines() };
        ensure!(without.told == lines.trim_end(), "{name}: {}", without.told);
        ensure!(without.told == with.told, "{name}:\n{}\nwith\n{}", without.told, with.told);
        ensure!(without.arrived == with.arrived, "{name}:\n{without:#?}\nwith\n{with:#?}");
        ensure!(!with.inserted.is_empty(), "{name}: nothing was put in");
        println!("{name}: {} of {}", with.inserted.len(), TOUR.len());
        all.extend(with.inserted.clone());
    }
    are_spans(&all, &stopped, "01")?;
    ensure!(stopped.counters.value("kernel.insert_failed")? == 0);
    Ok(())
}

/// Java sizes its reads by `FIONREAD`: named or not, what it sends and gets is as it is without an agent.
pub(super) fn java_is_left_alone() -> TestResult {
    let ground = Ground::start()?;
    let mut command = java::tour_client()?;
    command.arg(format!("127.0.0.1:{}", ground.port)).args(tour::arguments());
    command.env("OTEL_SERVICE_NAME", "client");
    let mut ask = || {
        let mut client = Program::start("client", &mut command)?;
        anyhow::Ok((client.pid(), ground.came(&mut client)?))
    };
    let (_, without) = ask()?;
    let mut agent = named(Hooks::Auto, "java").start()?;
    need(&agent)?;
    let (pid, with) = ask()?;
    let line = format!("no header is put into requests of process {pid}");
    agent.wait_line(&line, Deadline::seconds(10))?;
    let stopped = agent.stop()?;
    ensure!(without.told == tour::lines().trim_end(), "{}", without.told);
    ensure!(
        without.told == with.told && without.arrived == with.arrived,
        "{without:#?}\nwith\n{with:#?}"
    );
    ensure!(with.inserted.is_empty(), "{with:?}");
    ensure!(
        stopped.spans.of("client", Kind::Client).len() >= TOUR.len(),
        "its requests were not seen"
    );
    Ok(())
}

/// curl on the tour, by one connection, which writes bodies into that folder.
fn curl(address: &str, bodies: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(installed("curl")?);
    for (number, stop) in TOUR.iter().enumerate() {
        if number > 0 {
            command.arg("--next");
        }
        command.args(["--silent", "--show-error", "--user-agent", "tour/1"]);
        command.args(["--write-out", "%{http_code} %{size_download}\\n", "--output"]);
        command.arg(bodies.join(number.to_string()));
        match stop.method {
            "HEAD" => command.arg("--head"),
            method => command.args(["--request", method]),
        };
        if stop.sent > 0 {
            command.arg("--data-binary").arg(String::from_utf8(stop.body())?);
        }
        command.arg(format!("http://{address}{}", stop.target()));
    }
    Ok(command)
}

/// What curl says of the tour.
fn curl_lines() -> String {
    TOUR.iter().map(|stop| format!("{} {}\n", stop.status, stop.received)).collect()
}

/// Sees that the bodies are the tour's, and takes them away.
fn take_bodies(folder: &Path) -> TestResult {
    for (number, stop) in TOUR.iter().enumerate() {
        let file = folder.join(number.to_string());
        // Without a body there is no file; what HEAD has are heads.
        let body = fs::read(&file).unwrap_or_default();
        ensure!(stop.method == "HEAD" || body == stop.body(), "another body at {}", stop.path);
        if file.exists() {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}
