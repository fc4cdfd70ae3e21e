//! Programs that size their reads by `FIONREAD`: since 6.6.128, 6.12.75, 6.18.14 and 6.19 the kernel answers it wrongly for sockets
//! that are members of a sockmap.
//!
//! Known by what they are, or by the library that does it.

use std::fs;

use crate::service::ProcessFacts;

/// Executables.
const PROGRAMS: [&str; 8] =
    ["nginx", "openresty", "angie", "tengine", "java", "dotnet", "dart", "dartaotruntime"];

/// What the names of libraries begin with.
const LIBRARIES: [(&str, &str); 3] =
    [("libjvm.so", "Java"), ("libcoreclr.so", ".NET"), ("libclrjit.so", ".NET")];

/// Why membership could harm a process; `None` if nothing is known that would.
#[must_use]
pub fn harmed(facts: &ProcessFacts) -> Option<&'static str> {
    let exe = facts.exe.strip_suffix(" (deleted)").unwrap_or(&facts.exe);
    let name = exe.rsplit('/').next().unwrap_or_default();
    if PROGRAMS.contains(&name) {
        return Some("it is known to size its reads by FIONREAD, which is wrong for such sockets");
    }
    let maps = fs::read_to_string(format!("/proc/{}/maps", facts.pid)).unwrap_or_default();
    loads(&maps).map(|_| "its runtime sizes reads by FIONREAD, which is wrong for such sockets")
}

/// The runtime whose library is mapped.
fn loads(maps: &str) -> Option<&'static str> {
    maps.lines().find_map(|line| {
        let file = line.rsplit('/').next()?;
        LIBRARIES.iter().find(|(begin, _)| file.starts_with(begin)).map(|(_, runtime)| *runtime)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        insertion::{Verdict, verdict},
        selection::Pattern,
    };

    #[test]
    fn programs_that_it_could_harm_are_refused_though_named() {
        let programs = ["nginx", "/opt/shop/*", "curl"].map(|text| Pattern::new(text).unwrap());
        let of = |exe: &str| {
            let facts = ProcessFacts { pid: u32::MAX, exe: exe.into(), ..ProcessFacts::default() };
            verdict(&facts, &programs)
        };
        assert_eq!(of("/usr/bin/curl"), Verdict::Named);
        assert_eq!(of("/opt/shop/till"), Verdict::Named);
        assert_eq!(of("/usr/bin/wget"), Verdict::NotNamed);
        assert_eq!(of(""), Verdict::NotNamed);
        for exe in ["/usr/sbin/nginx", "/usr/sbin/nginx (deleted)", "/opt/shop/bin/java"] {
            assert!(matches!(of(exe), Verdict::Harmed(_)), "{exe}");
        }
    }

    #[test]
    fn runtimes_are_known_by_their_libraries() {
        let line = "7f00-7f01 r-xp 00000000 08:01 12 /usr/lib/jvm/java-17/lib/server/libjvm.so\n";
        assert_eq!(loads(line), Some("Java"));
        assert_eq!(loads("7f00-7f01 r-xp 0 08:01 12 /usr/lib/libc.so.6\n7f02-7f03 rw-p 0\n"), None);
    }
}
