//! Secrets in what is known of a process: command lines and `OTEL_*` variables carry them.

use super::names::is_secret;
use crate::service::{ProcessFacts, is_named_by_arguments};

/// The facts without their secrets; everything a service's name is made from stays.
pub(in crate::record) fn scrubbed_facts(facts: &ProcessFacts) -> ProcessFacts {
    let mut facts = facts.clone();
    // Of a program that is itself the service nothing behind its name is needed, and anything may be in there: `curl -d`.
    let needed = is_named_by_arguments(&facts);
    let mut value_of_secret = false;
    for (at, argument) in facts.arguments.iter_mut().enumerate() {
        if at > 0 && !needed {
            *argument = hidden(argument);
            continue;
        }
        if std::mem::take(&mut value_of_secret) && !argument.starts_with('-') {
            *argument = hidden(argument);
            continue;
        }
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        if let Some((name, value)) = argument.split_once(':')
            && is_secret(name.as_bytes())
        {
            // A header.
            *argument = format!("{name}:{}", hidden(value));
            continue;
        }
        let is_option = name.starts_with('-') || value.is_some();
        if is_option && is_secret(name.trim_start_matches('-').as_bytes()) {
            match value {
                Some(value) => *argument = format!("{name}={}", hidden(value)),
                None => value_of_secret = true,
            }
        } else {
            *argument = without_secret_query(&without_user_information(argument));
        }
    }
    for (name, value) in facts.otel.iter_mut().chain(&mut facts.labels) {
        if name.ends_with("_HEADERS") || is_secret(name.as_bytes()) {
            *value = hidden(value);
        } else {
            *value = without_user_information(value);
        }
    }
    facts
}

/// `https://user:password@host/` loses what is between `//` and `@`.
fn without_user_information(text: &str) -> String {
    let Some((before, after)) = text.split_once("://") else { return text.to_owned() };
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{before}://{}{}", hidden(&after[..at]), &after[at..]),
        None => text.to_owned(),
    }
}

/// `https://host/?a=1&token=abc` loses the values of secret keys.
fn without_secret_query(text: &str) -> String {
    let Some((before, query)) = text.split_once('?') else { return text.to_owned() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, value)) if is_secret(key.as_bytes()) => format!("{key}={}", hidden(value)),
        _ => pair.to_owned(),
    });
    format!("{before}?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn hidden(text: &str) -> String {
    "x".repeat(text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_names_stay() {
        let facts = ProcessFacts {
            exe: "/usr/bin/python3.11".to_owned(),
            arguments: [
                "gunicorn",
                "--token",
                "hunter2",
                "--password=hunter2",
                "--bind",
                "0.0.0.0:80",
                "postgres://bob:hunter2@db:5432/shop",
                "DB_PASSWORD=hunter2",
                "--auth",
                "--verbose",
                "Authorization: Bearer hunter2",
                "http://a/?page=1&token=hunter2",
                "shop.wsgi",
            ]
            .map(str::to_owned)
            .to_vec(),
            otel: vec![
                ("OTEL_EXPORTER_OTLP_HEADERS".into(), "api-key=hunter2".into()),
                ("OTEL_SERVICE_NAME".into(), "shop".into()),
                ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), "https://u:hunter2@c/".into()),
            ],
            ..ProcessFacts::default()
        };
        let scrubbed = scrubbed_facts(&facts);
        assert_eq!(
            scrubbed.arguments,
            [
                "gunicorn",
                "--token",
                "xxxxxxx",
                "--password=xxxxxxx",
                "--bind",
                "0.0.0.0:80",
                "postgres://xxxxxxxxxxx@db:5432/shop",
                "DB_PASSWORD=xxxxxxx",
                "--auth",
                "--verbose",
                "Authorization:xxxxxxxxxxxxxxx",
                "http://a/?page=1&token=xxxxxxx",
                "shop.wsgi",
            ]
        );
        assert_eq!(scrubbed.otel[0].1, "xxxxxxxxxxxxxxx");
        assert_eq!(scrubbed.otel[1].1, "shop");
        assert_eq!(scrubbed.otel[2].1, "https://xxxxxxxxx@c/");
    }

    #[test]
    fn nothing_stays_that_names_no_service() {
        let facts = ProcessFacts {
            exe: "/usr/bin/curl".to_owned(),
            arguments: ["curl", "-d", "hunter2", "-u", "bob:hunter2"].map(str::to_owned).to_vec(),
            ..ProcessFacts::default()
        };
        let scrubbed = scrubbed_facts(&facts);
        assert_eq!(scrubbed.arguments, ["curl", "xx", "xxxxxxx", "xx", "xxxxxxxxxxx"]);
    }
}
