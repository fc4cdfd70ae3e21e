//! Names of Java programs: what they are told to call themselves, else archives, main classes and modules.

use super::{base_name, file_name, folder_of, is_generic};
use crate::service::ProcessFacts;

/// Options that take the next argument (`java --help`).
const WITH_VALUE: [&str; 15] = [
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--limit-modules",
    "--add-reads",
    "--add-exports",
    "--add-opens",
    "--patch-module",
    "--enable-native-access",
    "--source",
    "--describe-module",
];
/// Main classes of programs that everybody knows by another name.
const KNOWN: [(&str, &str); 4] = [
    ("org.eclipse.jetty.start.Main", "jetty"),
    ("kafka.Kafka", "kafka"),
    ("org.apache.zookeeper.server.quorum.QuorumPeerMain", "zookeeper"),
    ("org.elasticsearch.bootstrap.Elasticsearch", "elasticsearch"),
];
/// What build tools add to an archive's name.
const ADDED: [&str; 7] =
    ["-SNAPSHOT", "-jar-with-dependencies", "-all", "-fat", "-exec", "-uber", "-shaded"];
/// Parts of package names that say nothing.
const TOP_LEVEL: [&str; 9] = ["com", "org", "net", "io", "de", "fr", "uk", "co", "dev"];

/// The name of what a Java launcher runs.
pub(super) fn name(facts: &ProcessFacts, arguments: &[String]) -> Option<String> {
    if let Some(name) = property(arguments, "spring.application.name") {
        return Some(name.to_owned());
    }
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "-jar" => return rest.next().map(|path| archive(facts, path)),
            "-m" | "--module" => return rest.next().map(|module| of_module(facts, module)),
            option if WITH_VALUE.contains(&option) => {
                rest.next();
            }
            option if option.starts_with("--module=") => {
                return option.split_once('=').map(|(_, module)| of_module(facts, module));
            }
            // Options of any other form hold their values; `@` names a file of arguments.
            option if option.starts_with(['-', '@']) => {}
            source if source.ends_with(".java") => {
                let stem = base_name(source).trim_end_matches(".java");
                return Some(file_name(facts, source, stem));
            }
            "org.apache.catalina.startup.Bootstrap" => return Some(tomcat(arguments)),
            class => return Some(main_class(facts, class)),
        }
    }
    None
}

/// The name that OpenTelemetry's Java agent is told: as good as `OTEL_SERVICE_NAME`.
pub(super) fn told(arguments: &[String]) -> Option<&str> {
    property(arguments, "otel.service.name")
}

/// The value of `-Dkey=value`, or of `--key=value` as Spring Boot takes it.
fn property<'a>(arguments: &'a [String], key: &str) -> Option<&'a str> {
    let mut found = arguments.iter().filter_map(|argument| {
        let option = argument.strip_prefix("-D").or_else(|| argument.strip_prefix("--"))?;
        option.strip_prefix(key)?.strip_prefix('=')
    });
    // The last one counts, for Java and for Spring.
    found.next_back().filter(|value| !value.is_empty())
}

/// One host may run several: each has a folder of its own (`-Dcatalina.base`).
fn tomcat(arguments: &[String]) -> String {
    let base = property(arguments, "catalina.base").and_then(folder_of);
    base.unwrap_or("tomcat").to_owned()
}

/// `billing-1.2.jar` is `billing`.
fn archive(facts: &ProcessFacts, path: &str) -> String {
    let base = base_name(path);
    let mut stem = base.strip_suffix(".jar").or_else(|| base.strip_suffix(".war")).unwrap_or(base);
    while let Some(shorter) = ADDED.iter().find_map(|added| stem.strip_suffix(added)) {
        stem = shorter;
    }
    file_name(facts, path, unversioned(stem))
}

/// Cuts at the first `-` before a digit (or `v` and a digit): what follows is a version.
fn unversioned(stem: &str) -> &str {
    let is_version = |text: &str| {
        text.strip_prefix('v').unwrap_or(text).starts_with(|c: char| c.is_ascii_digit())
    };
    let cut = stem.match_indices('-').find(|(at, _)| *at > 0 && is_version(&stem[at + 1..]));
    cut.map_or(stem, |(at, _)| &stem[..at])
}

/// `module/class`, or a module whose class is in its description.
fn of_module(facts: &ProcessFacts, module: &str) -> String {
    match module.split_once('/') {
        Some((_, class)) => main_class(facts, class),
        None => main_class(facts, module),
    }
}

/// `com.acme.Billing` is `Billing`, `com.acme.billing.Main` is `billing`.
fn main_class(facts: &ProcessFacts, class: &str) -> String {
    if let Some((_, name)) = KNOWN.iter().find(|(known, _)| *known == class) {
        return (*name).to_owned();
    }
    // Spring Boot's own launchers, whatever version.
    let launcher = class.starts_with("org.springframework.boot.loader.");
    let mut parts = class.rsplit(['.', '/']).filter(|_| !launcher);
    let found =
        parts.find(|part| !is_generic(part) && !TOP_LEVEL.contains(part) && !part.is_empty());
    found
        .or_else(|| folder_of(&facts.directory))
        .unwrap_or_else(|| class.rsplit('.').next().unwrap_or_default())
        .to_owned()
}
