//! Which TLS library a process has loaded, as far as its maps tell. What goes through one is not read yet.

use crate::service::{self, ProcessFacts};

/// Libraries by the beginning of their files' names.
const LIBRARIES: [(&str, &str); 4] = [
    ("libssl.so", "OpenSSL"),
    ("libssl3.so", "NSS"),
    ("libgnutls.so", "GnuTLS"),
    ("libmbedtls.so", "mbed TLS"),
];

/// The library's name; `-` if none is seen, `?` if the maps may not be read.
pub(super) fn library(facts: &ProcessFacts) -> &'static str {
    match std::fs::read_to_string(format!("/proc/{}/maps", facts.pid)) {
        Ok(maps) => in_maps(&maps).unwrap_or_else(|| built_in(service::language(facts))),
        Err(_) => "?",
    }
}

fn in_maps(maps: &str) -> Option<&'static str> {
    maps.lines().find_map(|line| {
        let file = line.rsplit('/').next()?;
        let (_, name) = LIBRARIES.iter().find(|(beginning, _)| file.starts_with(beginning))?;
        Some(*name)
    })
}

/// What a runtime brings along in its own executable.
fn built_in(language: &str) -> &'static str {
    match language {
        "nodejs" => "OpenSSL",
        "java" => "JSSE",
        _ => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_seen_in_maps() {
        let line = |file: &str| format!("7f00-7f01 r-xp 00000000 08:01 42   {file}\n");
        assert_eq!(in_maps(&line("/usr/lib/x86_64-linux-gnu/libssl.so.3")), Some("OpenSSL"));
        assert_eq!(in_maps(&line("/usr/lib/libgnutls.so.30.34.3")), Some("GnuTLS"));
        assert_eq!(
            in_maps(&(line("/usr/lib/libc.so.6") + "7f00-7f01 rw-p 0 0:0 0 [heap]\n")),
            None
        );
        assert_eq!(in_maps(""), None);
    }
}
