//! OpenTelemetry SDKs in other processes, as far as a process's own arguments and variables tell of them.
//!
//! Neither proves alone that spans leave the process: variables are inherited by children that know nothing of them. So
//! each question here says how much its answer means.

use crate::service::{ProcessFacts, naming};

/// The port of OTLP over gRPC (IANA, "opentelemetry").
const OTLP_GRPC: u16 = 4317;
/// The port of OTLP over HTTP (OTLP specification, "OTLP/HTTP Default Port").
const OTLP_HTTP: u16 = 4318;

/// Variables by which something is loaded into a runtime, whatever it was started as.
pub(super) const VARIABLES: [&str; 5] =
    ["CORECLR_PROFILER_PATH", "JAVA_TOOL_OPTIONS", "NODE_OPTIONS", "PYTHONPATH", "RUBYOPT"];
/// Parts of the paths of OpenTelemetry's automatic instrumentations: of its releases, and of what its Kubernetes operator
/// makes of them.
const INSTRUMENTATIONS: [&str; 5] = [
    "@opentelemetry/auto-instrumentations-node",
    "OpenTelemetry.AutoInstrumentation",
    "opentelemetry-javaagent",
    "opentelemetry/instrumentation/auto_instrumentation",
    "otel-auto-instrumentation",
];

/// Whether the command line, or a variable that the runtime reads, loads an SDK into it, so that the process traces
/// itself.
pub(crate) fn is_loaded(facts: &ProcessFacts) -> bool {
    if is_switched_off(facts) {
        return false;
    }
    let mut before = "";
    let by_argument = facts.arguments.iter().any(|argument| {
        let option = std::mem::replace(&mut before, argument.as_str());
        let java = argument
            .strip_prefix("-javaagent:")
            .is_some_and(|agent| is_named_in(agent.split('=').next().unwrap_or_default()));
        let (named, module) = argument.split_once('=').unwrap_or((option, argument));
        let node = ["--require", "-r", "--import"].contains(&named) && is_named_in(module);
        java || node
    });
    by_argument || facts.sdk_variables.iter().any(|name| is_read_by(name, naming::language(facts)))
}

/// Whether a text names one of OpenTelemetry's automatic instrumentations.
pub(super) fn is_named_in(text: &str) -> bool {
    INSTRUMENTATIONS.iter().any(|part| text.contains(part))
}

/// Whether a runtime loads what this variable says: others only inherit it.
fn is_read_by(variable: &str, language: &str) -> bool {
    matches!(
        (variable, language),
        ("CORECLR_PROFILER_PATH", "dotnet")
            | ("JAVA_TOOL_OPTIONS", "java")
            | ("NODE_OPTIONS", "nodejs")
            | ("PYTHONPATH", "python")
            | ("RUBYOPT", "ruby")
    )
}

/// Whether the variables tell an SDK to export traces over OTLP to a server with this port. With a connection to that
/// port it is as good as certain that the process does.
pub(crate) fn is_told_to_export_to(facts: &ProcessFacts, port: u16) -> bool {
    if is_switched_off(facts) {
        return false;
    }
    let endpoint = variable(facts, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        .or_else(|| variable(facts, "OTEL_EXPORTER_OTLP_ENDPOINT"));
    match endpoint {
        Some(url) => port_of(url) == Some(port),
        None => {
            let exporter = variable(facts, "OTEL_TRACES_EXPORTER").unwrap_or_default();
            exporter.split(',').any(|one| one.trim() == "otlp")
                && [OTLP_GRPC, OTLP_HTTP].contains(&port)
        }
    }
}

/// `OTEL_SDK_DISABLED=true`, or no traces to be exported.
fn is_switched_off(facts: &ProcessFacts) -> bool {
    variable(facts, "OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || variable(facts, "OTEL_TRACES_EXPORTER") == Some("none")
}

fn variable<'a>(facts: &'a ProcessFacts, name: &str) -> Option<&'a str> {
    let found = facts.otel.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

fn port_of(url: &str) -> Option<u16> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next()?;
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ if scheme == "https" => Some(443),
        _ if scheme == "http" => Some(80),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(arguments: &[&str], otel: &[(&str, &str)]) -> ProcessFacts {
        ProcessFacts {
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            otel: otel.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..ProcessFacts::default()
        }
    }

    #[test]
    fn agents_are_seen_in_command_lines() {
        for (line, expected) in [
            ("java -javaagent:/opt/otel/opentelemetry-javaagent.jar -jar a.jar", true),
            ("java -javaagent:/opt/opentelemetry-javaagent-2.9.0.jar=x=y -jar a.jar", true),
            ("java -javaagent:/otel-auto-instrumentation-java/javaagent.jar -jar a.jar", true),
            ("java -javaagent:/opt/newrelic.jar -jar opentelemetry-javaagent.jar", false),
            ("node --require @opentelemetry/auto-instrumentations-node/register a.js", true),
            ("node --import=@opentelemetry/auto-instrumentations-node/register a.js", true),
            ("node a.js @opentelemetry/auto-instrumentations-node/register", false),
            ("python3 app.py", false),
        ] {
            let arguments: Vec<&str> = line.split(' ').collect();
            assert_eq!(is_loaded(&facts(&arguments, &[])), expected, "{line}");
        }
        let agent = ["java", "-javaagent:/o/opentelemetry-javaagent.jar"];
        assert!(!is_loaded(&facts(&agent, &[("OTEL_SDK_DISABLED", "True")])));
        assert!(!is_loaded(&facts(&agent, &[("OTEL_TRACES_EXPORTER", "none")])));
    }

    #[test]
    fn variables_load_it_only_into_the_runtime_that_reads_them() {
        let loaded = |exe: &str, variable: &str| {
            let facts = ProcessFacts {
                exe: exe.to_owned(),
                sdk_variables: vec![variable.to_owned()],
                ..facts(&[exe], &[])
            };
            is_loaded(&facts)
        };
        assert!(loaded("/usr/bin/node", "NODE_OPTIONS"));
        assert!(loaded("/usr/bin/python3.11", "PYTHONPATH"));
        assert!(loaded("/usr/lib/jvm/bin/java", "JAVA_TOOL_OPTIONS"));
        // A child of such a process.
        assert!(!loaded("/usr/bin/curl", "PYTHONPATH"));
        assert!(!loaded("/usr/bin/node", "JAVA_TOOL_OPTIONS"));
    }

    #[test]
    fn variables_count_only_for_the_port_they_name() {
        let told = |otel: &[(&str, &str)], port| is_told_to_export_to(&facts(&[], otel), port);
        let endpoint = |url| [("OTEL_EXPORTER_OTLP_ENDPOINT", url)];
        assert!(told(&endpoint("http://collector:4317"), 4317));
        assert!(!told(&endpoint("http://collector:4317"), 4318));
        assert!(told(&endpoint("https://otlp.example/v1"), 443));
        assert!(told(&endpoint("http://[::1]:9000/"), 9000));
        assert!(!told(&endpoint("http://[::1]/"), 9000));
        assert!(told(&[("OTEL_TRACES_EXPORTER", "otlp,console")], 4318));
        assert!(!told(&[("OTEL_TRACES_EXPORTER", "zipkin")], 4318));
        assert!(!told(&[("OTEL_TRACES_EXPORTER", "otlp")], 80));
        // A name says nothing of who exports.
        assert!(!told(&[("OTEL_SERVICE_NAME", "shop")], 4317));
        let off = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317"), ("OTEL_SDK_DISABLED", "true")];
        assert!(!told(&off, 4317));
    }
}
