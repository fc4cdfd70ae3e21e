//! Health checks, probes and scrapes: requests that say nothing about the work of a service, and are many.
//!
//! A trace that begins with one is left out whole, with whatever the check causes, by its sampled flag: so both ends and
//! all children are left out alike. One that belongs to another trace (it carries a `traceparent`, or was sent for a
//! request that is traced) is told as any other. The rules are a plain list that users can see and change.

use crate::exchange::Asked;
use crate::trace::url::Target;

/// Which requests are checks. All conditions that a rule has must hold; a rule without any holds for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckRule {
    /// What `User-Agent` begins with, whatever its case.
    pub user_agent: Option<String>,
    /// The path, whole; with `*` at its end what it begins with.
    pub path: Option<String>,
}

/// Who asks for nothing else, by what they call themselves.
const AGENTS: [&str; 9] = [
    "kube-probe/",
    "Prometheus/",
    "vm_promscrape",
    "GoogleHC/",
    "ELB-HealthChecker/",
    "Amazon-Route53-Health-Check-Service",
    "Envoy/HC",
    "Consul Health Check",
    "Blackbox Exporter/",
];

/// The health checking service of gRPC servers (grpc.health.v1).
const GRPC_HEALTH: &str = "/grpc.health.v1.Health/";

/// What nobody else asks for: the paths that Kubernetes, Spring Boot, Prometheus and Docker examples have taught everyone.
const PATHS: [&str; 17] = [
    "/grpc.health.v1.Health/*",
    "/healthz",
    "/healthz/*",
    "/livez",
    "/livez/*",
    "/readyz",
    "/readyz/*",
    "/health",
    "/health/*",
    "/_health",
    "/-/healthy",
    "/-/ready",
    "/actuator/health",
    "/actuator/health/*",
    "/actuator/prometheus",
    "/nginx_status",
    "/metrics",
];

impl CheckRule {
    /// The rules that hold unless others are given.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let agents = AGENTS
            .iter()
            .map(|agent| Self { user_agent: Some((*agent).to_owned()), ..Self::default() });
        let paths =
            PATHS.iter().map(|path| Self { path: Some((*path).to_owned()), ..Self::default() });
        agents.chain(paths).collect()
    }

    /// Whether it holds for a request with this path.
    fn holds(&self, path: &str, user_agent: Option<&str>) -> bool {
        let agent = |wanted: &String| {
            let found = user_agent.and_then(|agent| agent.get(..wanted.len()));
            found.is_some_and(|found| found.eq_ignore_ascii_case(wanted))
        };
        let path = |wanted: &String| match wanted.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == wanted,
        };
        match (&self.user_agent, &self.path) {
            (None, None) => false,
            (wanted_agent, wanted_path) => {
                wanted_path.as_ref().is_none_or(path) && wanted_agent.as_ref().is_none_or(agent)
            }
        }
    }
}

/// All rules. Few requests begin like anything that they ask for, and of the others none is tried.
#[derive(Debug)]
pub(in crate::trace) struct Checks {
    rules: Vec<CheckRule>,
    user_agents: Beginnings,
    paths: Beginnings,
}

impl Checks {
    /// Those rules.
    pub(in crate::trace) fn new(rules: Vec<CheckRule>) -> Self {
        let user_agents = rules.iter().filter_map(|rule| rule.user_agent.as_deref());
        let paths = rules.iter().filter_map(|rule| rule.path.as_deref());
        let paths = paths.map(|path| path.strip_suffix('*').unwrap_or(path));
        Self {
            user_agents: Beginnings::of(user_agents, 0),
            // All begin with a slash.
            paths: Beginnings::of(paths, 1),
            rules,
        }
    }

    /// Whether a request is a check by one of them. Whoever sends something (`POST`) wants more than to look, but in gRPC, which
    /// knows no other method.
    pub(in crate::trace) fn hold(&self, asked: &Asked) -> bool {
        let looks = matches!(asked.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        if !looks && !asked.target.starts_with(GRPC_HEALTH) {
            return false;
        }
        let path = Target::asked(asked).path;
        let user_agent = asked.user_agent.as_deref();
        if !self.paths.has(path) && !user_agent.is_some_and(|agent| self.user_agents.has(agent)) {
            return false;
        }
        self.rules.iter().any(|rule| rule.holds(path, user_agent))
    }
}

/// Which two bytes, in lower case, texts have at a certain place.
#[derive(Debug)]
struct Beginnings {
    from: usize,
    pairs: Vec<[u8; 2]>,
    /// A text is too short to have any: whatever begins may begin like it.
    all: bool,
}

impl Beginnings {
    fn of<'a>(texts: impl Iterator<Item = &'a str>, from: usize) -> Self {
        let mut beginnings = Self { from, pairs: Vec::new(), all: false };
        for text in texts {
            match beginnings.pair(text) {
                Some(pair) if beginnings.pairs.contains(&pair) => {}
                Some(pair) => beginnings.pairs.push(pair),
                None => beginnings.all = true,
            }
        }
        beginnings
    }

    /// Whether a text has what one of them has. If not, it does not begin like one.
    fn has(&self, text: &str) -> bool {
        self.all || self.pair(text).is_some_and(|pair| self.pairs.contains(&pair))
    }

    fn pair(&self, text: &str) -> Option<[u8; 2]> {
        let pair: &[u8; 2] = text.as_bytes().get(self.from..)?.first_chunk()?;
        Some(pair.map(|byte| byte.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(method: &str, path: &str, agent: Option<&str>) -> Asked {
        Asked::of(method, path, agent)
    }

    fn is_check(asked: &Asked) -> bool {
        Checks::new(CheckRule::defaults()).hold(asked)
    }

    #[test]
    fn checks_are_known_by_who_asks_or_what_for() {
        for (path, agent) in [
            ("/", Some("kube-probe/1.31")),
            ("/anything", Some("KUBE-PROBE/1.31")),
            ("/federate", Some("Prometheus/3.5.0")),
            ("/healthz", Some("curl/8")),
            ("/health/live", None),
            ("/metrics", None),
            ("/healthz?verbose=1", None),
            ("http://shop/healthz", None),
        ] {
            assert!(is_check(&asked("GET", path, agent)), "{path} {agent:?}");
        }
        for (method, path, agent) in [
            ("GET", "/", Some("curl/8")),
            ("GET", "/healthzz", None),
            ("GET", "/metrics/daily", None),
            ("GET", "/my/healthz", None),
            ("GET", "/", Some("kube")),
            ("GET", "/", Some("\u{e9}kube-probe/1")),
            ("POST", "/health", None),
            ("POST", "/", Some("kube-probe/1.31")),
            ("get", "/health", None),
        ] {
            assert!(!is_check(&asked(method, path, agent)), "{method} {path} {agent:?}");
        }
    }

    #[test]
    fn all_conditions_of_a_rule_must_hold() {
        let both = CheckRule { user_agent: Some("mon/".into()), path: Some("/a*".into()) };
        let checks = Checks::new(vec![both]);
        assert!(checks.hold(&asked("GET", "/ab", Some("mon/1"))));
        assert!(!checks.hold(&asked("GET", "/b", Some("mon/1"))));
        assert!(!checks.hold(&asked("GET", "/ab", Some("man/1"))));
        assert!(!checks.hold(&asked("GET", "/ab", None)));
        let none = Checks::new(vec![CheckRule::default()]);
        assert!(!none.hold(&asked("GET", "/healthz", None)));
    }

    proptest! {
        /// What is not tried would not have held.
        #[test]
        fn no_rule_is_passed_over_that_holds(
            rules in proptest::collection::vec(
                (proptest::option::of("[aAk]{0,3}"), proptest::option::of("/?[abA]{0,3}[*]?")),
                0..4,
            ),
            path in "/[abA]{0,4}",
            agent in proptest::option::of("[aAk\u{e9}]{0,4}"),
        ) {
            let rule = |(user_agent, path)| CheckRule { user_agent, path };
            let rules: Vec<_> = rules.into_iter().map(rule).collect();
            let asked = asked("GET", &path, agent.as_deref());
            let holds = rules.iter().any(|rule| rule.holds(&path, agent.as_deref()));
            prop_assert_eq!(Checks::new(rules).hold(&asked), holds);
        }
    }
}
