//! A service with the OpenTelemetry Python SDK in it, which traces itself.

use std::path::PathBuf;
use std::process::Command;

use super::{Server, python, workload};
use crate::listening::free_port;

/// How the SDK came into the service, and how it is known where to export to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `opentelemetry-instrument` started the service, which knows nothing of it.
    Automatic,
    /// The service set it up, and a variable says where to.
    Variable,
    /// The service set it up, and says itself where to.
    Code,
}

impl Way {
    /// All of them, each with a word for it.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Automatic, "automatic"), (Self::Variable, "variable"), (Self::Code, "code")];
}

/// The service, which asks the one at port `next` for the same path, and exports to `endpoint` (`http://HOST:PORT`).
///
/// # Errors
/// When Python or a package is not to be had, or it does not come up.
pub fn service(name: &str, way: Way, next: u16, endpoint: &str) -> anyhow::Result<Server> {
    let environment = environment()?;
    let (python, folder) = (environment.join("bin/python"), workload("opentelemetry"));
    let port = free_port()?;
    let mut command = match way {
        Way::Automatic => {
            let mut command = Command::new(environment.join("bin/opentelemetry-instrument"));
            command.arg(python).arg(folder.join("app.py"));
            command
        }
        Way::Variable | Way::Code => {
            let mut command = Command::new(python);
            command.arg(folder.join("instrumented.py"));
            command
        }
    };
    command.args([port.to_string(), next.to_string()]);
    if way == Way::Code {
        command.arg(format!("{endpoint}/v1/traces"));
    } else {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    }
    command.env("OTEL_BSP_SCHEDULE_DELAY", "100");
    command.env("OTEL_METRICS_EXPORTER", "none").env("OTEL_LOGS_EXPORTER", "none");
    // Today's names of attributes.
    command.env("OTEL_SEMCONV_STABILITY_OPT_IN", "http");
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Server::on_port(name, port, &mut command)
}

/// The environment's folder, made if it is not there yet.
///
/// # Errors
/// When Python or a package is not to be had.
pub fn environment() -> anyhow::Result<PathBuf> {
    python::environment(&workload("opentelemetry/requirements.txt"))
}
