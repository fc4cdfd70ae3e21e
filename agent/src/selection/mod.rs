//! Selection: which processes and which requests are traced, by the operator's rules.
//!
//! Rules are asked in their order and the first that fits decides; what none fits is traced. A rule that names no port
//! decides on a process once and for all, one that does on each request. This folder only decides: it knows no
//! connection and no span, and what is left out is counted by whoever asks.
#![forbid(unsafe_code)]

mod conditions;
mod rule;

pub use conditions::{Conditions, Label, Pattern, PatternError, Ports};
pub use rule::{Action, Rule};

use crate::trace::Share;

/// What rules ask of a process.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Path of its executable; empty when not known.
    pub executable: &'a str,
    /// `service.name`.
    pub service: &'a str,
    /// Its systemd service, without `.service`.
    pub unit: Option<&'a str>,
    /// Its container's id, 64 hex digits.
    pub container: Option<&'a str>,
    /// Its container's name; empty when not known.
    pub container_name: &'a str,
    /// Its labels, with their keys; of a key that comes twice any may fit.
    pub labels: &'a [(String, String)],
}

/// All rules, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    rules: Vec<Rule>,
}

/// What is decided, of a process or of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is traced; of the traces that begin with it no more than this share.
    Traced(Option<Share>),
    /// It is left out, by the rule of this number.
    LeftOut(usize),
    /// Of a process: it depends on the port.
    ByPort,
}

impl Selection {
    /// These rules.
    #[must_use]
    pub const fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The rules, by number.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What all requests of a process have in common. This is the place to ask for whoever would not even look at what
    /// is left out: [`Verdict::LeftOut`] holds for everything the process says while it runs this program.
    #[must_use]
    pub fn of_process(&self, subject: &Subject<'_>) -> Verdict {
        self.decide(subject, |_| None)
    }

    /// What holds for one request: `port` is the server's, `None` where there is none (unix sockets).
    #[must_use]
    pub fn of_request(&self, subject: &Subject<'_>, port: Option<u16>) -> Verdict {
        self.decide(subject, |ports| Some(port.is_some_and(|port| ports.contain(port))))
    }

    /// `fits` says whether the ports of a rule fit, `None` if that cannot be told.
    fn decide(&self, subject: &Subject<'_>, fits: impl Fn(&Ports) -> Option<bool>) -> Verdict {
        for (number, rule) in self.rules.iter().enumerate() {
            if !rule.conditions.fit_process(subject) {
                continue;
            }
            match rule.conditions.ports.as_ref().map_or(Some(true), &fits) {
                Some(true) => return rule.verdict(number),
                Some(false) => {}
                None => return Verdict::ByPort,
            }
        }
        Verdict::Traced(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NGINX: Subject<'static> = Subject {
        executable: "/usr/sbin/nginx",
        service: "edge",
        unit: Some("nginx-edge"),
        container: None,
        container_name: "",
        labels: &[],
    };
    const SHOP: Subject<'static> = Subject {
        executable: "/usr/bin/python3.11",
        service: "shop",
        unit: None,
        container: Some("3f4e1c0b9a8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f"),
        container_name: "web",
        labels: &[],
    };

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(text).unwrap()).collect()
    }

    fn rule(action: Action, conditions: Conditions) -> Rule {
        Rule { name: "r".into(), action, conditions }
    }

    fn exclude(conditions: Conditions) -> Rule {
        rule(Action::Exclude, conditions)
    }

    fn include(conditions: Conditions) -> Rule {
        rule(Action::Include { share: None }, conditions)
    }

    fn verdict(rules: Vec<Rule>, subject: &Subject<'_>) -> Verdict {
        Selection::new(rules).of_process(subject)
    }

    const TRACED: Verdict = Verdict::Traced(None);

    #[test]
    fn without_rules_everything_is_traced() {
        assert_eq!(verdict(vec![], &NGINX), TRACED);
    }

    #[test]
    fn each_condition_fits_as_it_says() {
        let executable =
            |texts| Conditions { executable: patterns(texts), ..Conditions::default() };
        let service = |texts| Conditions { service: patterns(texts), ..Conditions::default() };
        let unit = |texts| Conditions { unit: patterns(texts), ..Conditions::default() };
        let container = |texts| Conditions { container: patterns(texts), ..Conditions::default() };
        for (conditions, nginx, shop) in [
            (executable(&["nginx"]), true, false),
            (executable(&["/usr/sbin/nginx"]), true, false),
            (executable(&["/usr/sbin"]), false, false),
            (executable(&["/usr/*"]), true, true),
            (executable(&["python3*"]), false, true),
            (executable(&["ngin"]), false, false),
            (service(&["edge", "till"]), true, false),
            (service(&["?hop"]), false, true),
            (unit(&["nginx-*"]), true, false),
            // As systemd writes it.
            (unit(&["nginx-edge.service"]), true, false),
            (unit(&["*"]), true, false),
            // As `docker ps` prints it.
            (container(&["3f4e1c0b9a8d"]), false, true),
            (container(&["*"]), false, true),
            (container(&["w?b"]), false, true),
            (container(&["ffff"]), false, false),
            (Conditions::default(), true, true),
        ] {
            let of = |subject| verdict(vec![exclude(conditions.clone())], subject) != TRACED;
            assert_eq!((of(&NGINX), of(&SHOP)), (nginx, shop), "{conditions:?}");
        }
    }

    #[test]
    fn all_conditions_of_a_rule_must_fit() {
        let both = Conditions {
            executable: patterns(&["nginx"]),
            unit: patterns(&["other"]),
            ..Conditions::default()
        };
        assert_eq!(verdict(vec![exclude(both)], &NGINX), TRACED);
    }

    #[test]
    fn each_label_that_is_asked_for_must_fit() {
        let labels = [("app", "shop"), ("tier", "web"), ("tier", "edge"), ("debug", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let labelled = Subject { labels: &labels, ..SHOP };
        for (asked, fits) in [
            (&[("app", &["shop"][..])][..], true),
            (&[("app", &["till", "sh*"])], true),
            (&[("app", &["shop"]), ("tier", &["edge"])], true),
            (&[("app", &["shop"]), ("tier", &["db"])], false),
            (&[("debug", &["*"])], true),
            (&[("ap", &["*"])], false),
            (&[("App", &["*"])], false),
        ] {
            let labels = asked
                .iter()
                .map(|(key, texts)| Label { key: (*key).to_owned(), values: patterns(texts) });
            let asked = Conditions { labels: labels.collect(), ..Conditions::default() };
            let rules = vec![exclude(asked.clone())];
            assert_eq!(verdict(rules.clone(), &labelled) != TRACED, fits, "{asked:?}");
            assert_eq!(verdict(rules, &SHOP), TRACED, "without labels: {asked:?}");
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let shop = Conditions { service: patterns(&["shop"]), ..Conditions::default() };
        let rules = vec![include(shop), exclude(Conditions::default())];
        assert_eq!(verdict(rules.clone(), &SHOP), TRACED);
        assert_eq!(verdict(rules, &NGINX), Verdict::LeftOut(1));
    }

    #[test]
    fn ports_decide_on_requests_only() {
        let metrics =
            Conditions { ports: Some(Ports::new(vec![9100..=9199])), ..Conditions::default() };
        let selection = Selection::new(vec![
            exclude(metrics),
            exclude(Conditions { service: patterns(&["edge"]), ..Conditions::default() }),
        ]);
        assert_eq!(selection.of_process(&SHOP), Verdict::ByPort);
        assert_eq!(selection.of_request(&SHOP, Some(9100)), Verdict::LeftOut(0));
        assert_eq!(selection.of_request(&SHOP, Some(9200)), TRACED);
        assert_eq!(selection.of_request(&SHOP, None), TRACED);
        assert_eq!(selection.of_request(&NGINX, Some(80)), Verdict::LeftOut(1));
    }

    #[test]
    fn a_rule_before_the_ports_decides_on_the_process() {
        let selection = Selection::new(vec![
            exclude(Conditions { service: patterns(&["edge"]), ..Conditions::default() }),
            exclude(Conditions { ports: Some(Ports::new(vec![80..=80])), ..Conditions::default() }),
        ]);
        assert_eq!(selection.of_process(&NGINX), Verdict::LeftOut(0));
        assert_eq!(selection.of_process(&SHOP), Verdict::ByPort);
    }

    #[test]
    fn a_share_is_handed_on() {
        let share = Share::ratio(0.25);
        let selection =
            Selection::new(vec![rule(Action::Include { share }, Conditions::default())]);
        assert_eq!(selection.of_process(&SHOP), Verdict::Traced(share));
    }
}
