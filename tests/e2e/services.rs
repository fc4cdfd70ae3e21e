//! What services are called when nobody says it: real programs, started the way people start them, each seen sending or
//! serving one request.
//!
//! The table of names itself is tested beside the code; here is what only a running program shows: titles that
//! overwrite arguments and environment, wrappers that exec or do not, workers that are not their masters.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use tests::agent::Agent;
use tests::listening::{free_port, wait_port};
use tests::otlp::{Kind, Spans};
use tests::outcome::TestResult;
use tests::peer::{Connection, Target};
use tests::process::Program;
use tests::programs::{
    apache, go, gunicorn, installed, java, nginx, npm, perl, php, pypi, python, ruby, workload,
    zipkin,
};
use tests::runner::Suite;
use tests::wait::Deadline;

/// How a service is started: by a command that serves at the port it is given, in a folder of its own.
type Start = fn(port: u16, folder: &Path) -> anyhow::Result<Command>;

/// How it is started, and what it must be called. Each gets a folder `till`, its working directory unless it has another.
const SERVED: &[(&str, Start, &str)] = &[
    (
        "gunicorn",
        |port, _| {
            let mut command = Command::new(gunicorn::environment()?.join("bin/gunicorn"));
            command.current_dir(workload("gunicorn")).env("PYTHONDONTWRITEBYTECODE", "1");
            command.args(["--workers", "2", "--bind", &format!("127.0.0.1:{port}"), "app:app"]);
            Ok(command)
        },
        "gunicorn",
    ),
    (
        "uvicorn",
        |port, folder| {
            std::fs::create_dir(folder.join("cash"))?;
            std::fs::write(folder.join("cash/main.py"), ASGI)?;
            let mut command = Command::new(pypi::environment()?.join("bin/uvicorn"));
            Ok(command_with(&mut command, &["cash.main:app", "--port", &port.to_string()]))
        },
        "cash",
    ),
    (
        "python3 -m",
        |port, _| {
            let mut command = Command::new(installed("python3")?);
            Ok(command_with(
                &mut command,
                &["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()],
            ))
        },
        "http.server",
    ),
    (
        "a virtual environment",
        |port, folder| {
            std::fs::copy(workload("python/tour_server.py"), folder.join("ledger.py"))?;
            let mut command = Command::new(pypi::environment()?.join("bin/python"));
            Ok(command_with(&mut command, &["ledger.py", "127.0.0.1", &port.to_string()]))
        },
        "ledger",
    ),
    (
        "a script of node",
        |port, folder| {
            std::fs::copy(workload("node/tour_server.mjs"), folder.join("server.mjs"))?;
            let mut command = Command::new(installed("node")?);
            Ok(command_with(&mut command, &["server.mjs", "127.0.0.1", &port.to_string()]))
        },
        "till",
    ),
    (
        "npm start",
        |port, folder| {
            std::fs::copy(workload("node/tour_server.mjs"), folder.join("server.mjs"))?;
            let script =
                format!(r#"{{"scripts": {{"start": "node server.mjs 127.0.0.1 {port}"}}}}"#);
            std::fs::write(folder.join("package.json"), script)?;
            let mut command = Command::new(installed("npm")?);
            command.env("npm_config_update_notifier", "false");
            Ok(command_with(&mut command, &["start"]))
        },
        "till",
    ),
    (
        "pm2",
        |port, folder| {
            std::fs::copy(workload("node/tour_server.mjs"), folder.join("server.mjs"))?;
            let mut command = Command::new(installed("node")?);
            command
                .arg(npm::packages("npm")?.join("pm2/bin/pm2-runtime"))
                .env("PM2_HOME", folder.join("pm2"));
            Ok(command_with(&mut command, &["server.mjs", "--", "127.0.0.1", &port.to_string()]))
        },
        "till",
    ),
    (
        "java -jar",
        |port, folder| {
            let jar = folder.join("billing-1.2.jar");
            let mut make = Command::new(installed("jar")?);
            make.arg("--create").arg("--file").arg(&jar).args(["--main-class", "TourServer", "-C"]);
            tests::process::output(make.arg(java::classes()?).arg("."))?;
            let mut command = Command::new(installed("java")?);
            command.args(["-Xmx64m", "-jar"]).arg(jar);
            Ok(command_with(&mut command, &["127.0.0.1", &port.to_string()]))
        },
        "billing",
    ),
    ("a Spring Boot jar", |port, _| zipkin::command(port), "zipkin-server"),
    (
        "a main class",
        |port, _| {
            let mut command = java::run(java::classes()?, "TourServer")?;
            Ok(command_with(&mut command, &["127.0.0.1", &port.to_string()]))
        },
        "TourServer",
    ),
    (
        "a Go program",
        |port, folder| {
            let program = folder.join("cashdesk");
            std::fs::copy(go::binary("tourserver")?, &program)?;
            let mut command = Command::new(program);
            Ok(command_with(&mut command, &[&format!("127.0.0.1:{port}")]))
        },
        "cashdesk",
    ),
    ("nginx", nginx::command, "nginx"),
    (
        "Apache",
        |port, folder| {
            let root = folder.join("apache");
            std::fs::create_dir(&root)?;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
            apache::command(&root, port, "http://127.0.0.1:9")
        },
        "apache2",
    ),
    (
        "PHP's own server",
        |port, folder| {
            std::fs::copy(php::script(), folder.join("index.php"))?;
            let mut command = Command::new(installed("php")?);
            Ok(command_with(&mut command, &["-S", &format!("127.0.0.1:{port}"), "index.php"]))
        },
        "till",
    ),
    (
        "Puma",
        |port, folder| {
            std::fs::copy(workload("ruby/config.ru"), folder.join("config.ru"))?;
            ruby::puma_command(folder, port)
        },
        "till",
    ),
    ("Starman", |port, _| perl::starman_command(port), "perl"),
    (
        "a shell's wrapper",
        |port, folder| {
            // It stays, and waits for what it started.
            let server = workload("python/tour_server.py");
            let script =
                format!("#!/bin/sh\npython3 {} 127.0.0.1 {port}\ntrue\n", server.display());
            std::fs::write(folder.join("run.sh"), script)?;
            let mut command = Command::new("/bin/sh");
            Ok(command_with(&mut command, &["run.sh"]))
        },
        "tour_server",
    ),
    (
        "OTEL_SERVICE_NAME",
        |port, _| {
            let mut command = python::script("tour_server.py")?;
            command.env("OTEL_SERVICE_NAME", "by-name");
            Ok(command_with(&mut command, &["127.0.0.1", &port.to_string()]))
        },
        "by-name",
    ),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        |port, _| {
            let mut command = python::script("tour_server.py")?;
            command
                .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=by%20attribute,service.version=7");
            Ok(command_with(&mut command, &["127.0.0.1", &port.to_string()]))
        },
        "by attribute",
    ),
];

const ASGI: &str = "
async def app(scope, receive, send):
    if scope['type'] == 'http':
        await send({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-length', b'0')]})
        await send({'type': 'http.response.body', 'body': b''})
";

fn command_with(command: &mut Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    std::mem::replace(command, Command::new(""))
}

pub(crate) fn add(suite: &mut Suite) {
    suite.slow("services::are_called_as_people_call_them", 120, served);
    suite.test("services::that_only_ask_have_names_too", asking);
}

/// All of them at once: half before the agent and half after it, for what a title leaves to be read differs.
fn served() -> TestResult {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let mut agent = None;
    let mut running = Vec::new();
    for (number, (what, start, name)) in SERVED.iter().enumerate() {
        if number == SERVED.len() / 2 {
            agent = Some(Agent::start()?);
        }
        let own = folder.path().join(number.to_string()).join("till");
        std::fs::create_dir_all(&own)?;
        std::fs::set_permissions(
            own.parent().context("no parent")?,
            std::fs::Permissions::from_mode(0o755),
        )?;
        let port = free_port()?;
        let mut command = start(port, &own).with_context(|| (*what).to_owned())?;
        if command.get_current_dir().is_none() {
            command.current_dir(&own);
        }
        if *name != "by-name" {
            command.env_remove("OTEL_SERVICE_NAME");
        }
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let mut program = Program::start(what, &mut command)?;
        wait_port(&mut program, port).with_context(|| (*what).to_owned())?;
        running.push((program, port, *what, *name));
    }
    let agent = agent.context("no agent")?;
    // Twice: a name never changes while a process lives.
    for _ in 0..2 {
        for (_, port, ..) in &running {
            Connection::open(&Target::port(*port))?.get("/hello")?;
        }
    }
    let of_port = |spans: &Spans, port: u16| {
        spans.only(|span| {
            span.kind == Kind::Server && span.int("server.port") == Some(i64::from(port))
        })
    };
    agent.wait("two spans of each", |spans| {
        running.iter().all(|(_, port, ..)| of_port(spans, *port).len() >= 2)
    })?;
    let stopped = agent.stop()?;
    let mut wrong = String::new();
    for (_, port, what, name) in &running {
        for span in &of_port(&stopped.spans, *port).0 {
            if span.service != *name {
                wrong += &format!("{what} is called {:?}, not {name:?}\n", span.service);
            }
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    stopped.counters.nothing_lost()
}

/// A worker of Celery serves nothing that is read; what it asks others is its own. (So it is with a pool of PHP-FPM:
/// `servers::php_fpm_on_port`.)
fn asking() -> TestResult {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let asked = python::tour_server("asked", [127, 0, 0, 1].into())?;
    let agent = Agent::start()?;
    for own in ["queue", "control"] {
        std::fs::create_dir(folder.path().join(own))?;
    }
    let environment = pypi::environment()?;
    let celery = |arguments: &[&str]| {
        let mut command = Command::new(environment.join("bin/celery"));
        command.current_dir(folder.path()).env_remove("OTEL_SERVICE_NAME");
        command.env("PYTHONPATH", workload("pypi")).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("ASKED_PORT", asked.port().to_string()).args(arguments);
        command
    };
    let mut worker = Program::start(
        "celery",
        &mut celery(&["-A", "cash.tasks", "worker", "--concurrency", "1", "--loglevel", "info"]),
    )?;
    worker.wait_line(" ready.", Deadline::seconds(30))?;
    tests::process::output(&mut celery(&["-A", "cash.tasks", "call", "cash.tasks.ask"]))?;
    agent.wait("the worker's request", |spans| !spans.of("asked", Kind::Server).is_empty())?;
    let stopped = agent.stop()?;
    let calls = stopped.spans.of("cash", Kind::Client);
    ensure!(calls.len() == 1, "not the worker's:\n{}", stopped.spans);
    Ok(())
}
