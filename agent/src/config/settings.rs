//! The settings themselves: one struct for all of the agent.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use abi::runtime::Rule;
use clap::ValueEnum;
use log::LevelFilter;

use super::capture::{Hooks, ring_size};
use super::keys::{self, Form, KEYS, Key};
use super::lists::Lists;
use super::problem::{Place, Problem, suggestion};
use super::values::Values;
use crate::export::otlp;
use crate::kernel::hooks::HookSet;
use crate::kernel::load::DATA_RING;
use crate::runtime::{self, Rules};
use crate::selection::{Pattern, Selection};
use crate::status::Serving;
use crate::trace::{self, CheckRule, RouteSettings, Sampler, Share};

/// Names of samplers (OpenTelemetry specification, "Known values for `OTEL_TRACES_SAMPLER`").
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];
/// Settings that hold at once when the configuration is read again, beside the rules of selection.
const AT_ONCE: [&str; 4] =
    ["log_level", "propagation.headers", "sampling.argument", "sampling.sampler"];
/// Longer than nearly all that is no stream, and short enough for whoever watches one.
const OPEN_AFTER: Duration = Duration::from_secs(60);
/// Names of levels.
const LEVELS: &str = "off, error, warn, info, debug or trace";

/// All settings, read and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is said on standard error.
    pub log_level: LevelFilter,
    /// Only this set of hooks.
    pub hooks: Option<HookSet>,
    /// Bytes of the data ring.
    pub data_ring: u32,
    /// A file of the one network namespace that is traced.
    pub network_namespace: Option<PathBuf>,
    /// How long a request must be open to be shown while it lasts.
    pub open_after: Duration,
    /// To whom contexts go in a TCP option.
    pub tcp_option: Reach,
    /// Programs into whose requests contexts are put,
    pub headers: Vec<Pattern>,
    /// and whether to public addresses, too.
    pub headers_anywhere: bool,
    /// Rules of runtimes that are on.
    pub rules: Rules,
    /// Which traces are kept.
    pub sampler: Sampler,
    /// Which processes and requests are traced.
    pub selection: Selection,
    /// Which requests are checks, if not those of the default rules.
    pub checks: Option<Vec<CheckRule>>,
    /// How `http.route` is known.
    pub routes: RouteSettings,
    /// Methods that keep their name, if not the conventions'.
    pub known_methods: Option<Vec<String>>,
    /// Query keys whose values are replaced, if not the default ones.
    pub redacted_query_keys: Option<Vec<String>>,
    /// Where spans go.
    pub export: otlp::Choice,
    /// Whether spans are shown on the page: as asked, else when they go nowhere else.
    pub viewer: Option<bool>,
    /// What else the viewer does.
    pub serving: Serving,
    /// What was ignored, a sentence each.
    pub warnings: Vec<String>,
    /// What was set, and where; for people.
    pub set: Vec<Setting>,
}

/// To which addresses something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reach {
    /// To none.
    Off,
    /// To private ones.
    Private,
    /// To all.
    All,
}

/// Something that was set.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub key: &'static Key,
    /// Where.
    pub place: Place,
    text: String,
}

impl Setting {
    /// To what, unless that may be a secret.
    #[must_use]
    pub fn shown(&self) -> &str {
        let secret = self.key.form == Form::Secrets || self.text.contains('@');
        if secret { "(not shown)" } else { &self.text }
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?} by {}", self.key.path, self.shown(), self.place)
    }
}

impl Settings {
    pub(super) fn of(values: &mut Values, lists: Lists) -> Self {
        let mut warnings = unknown_variables(values);
        let warn = &mut warnings;
        let log_level =
            values.parsed("OTEL_LOG_LEVEL", LEVELS, |text| LevelFilter::from_str(text).ok(), warn);
        let hooks = values.parsed(
            "SPANWIRE_HOOKS",
            "auto, locked, length or syscall",
            |text| Hooks::from_str(text, true).ok(),
            warn,
        );
        let data_ring = values.parsed(
            "SPANWIRE_DATA_RING",
            "a power of two and at least 4096",
            |text| ring_size(text).ok(),
            warn,
        );
        let open_after = values.parsed(
            "SPANWIRE_OPEN_AFTER",
            "a number of seconds",
            |text| text.parse().ok().map(|seconds: u32| Duration::from_secs(seconds.into())),
            warn,
        );
        let tcp_option = values
            .parsed(
                "SPANWIRE_TCP_OPTION",
                "off, private or all",
                |text| Reach::from_str(text, true).ok(),
                warn,
            )
            .unwrap_or(Reach::Private);
        let headers_anywhere = values.parsed(
            "SPANWIRE_HEADERS_TO",
            "private or all",
            |text| match Reach::from_str(text, true) {
                Ok(Reach::Private) => Some(false),
                Ok(Reach::All) => Some(true),
                _ => None,
            },
            warn,
        );
        let headers = list(values, "SPANWIRE_HEADERS").unwrap_or_default();
        let headers = headers.iter().filter_map(|text| Pattern::new(text).ok()).collect();
        let export = export(values, warn);
        let serving = serving(values, warn);
        let mut yes_or_no = |variable| {
            let parse = |text: &str| text.to_ascii_lowercase().parse::<bool>().ok();
            values.parsed(variable, "true or false", parse, warn)
        };
        let (viewer, learn) = (yes_or_no("SPANWIRE_VIEWER"), yes_or_no("SPANWIRE_LEARN_ROUTES"));
        // Whoever says what the page is to hold wants the page.
        let holds = serving.otlp_in.is_some() || serving.store.is_some();
        Self {
            log_level: log_level.unwrap_or(LevelFilter::Info),
            hooks: hooks.and_then(Hooks::set),
            data_ring: data_ring.unwrap_or(DATA_RING),
            network_namespace: values.text("SPANWIRE_NETWORK_NAMESPACE").map(PathBuf::from),
            open_after: open_after.unwrap_or(OPEN_AFTER),
            tcp_option,
            headers,
            headers_anywhere: headers_anywhere.unwrap_or(false),
            rules: rules(values, warn),
            sampler: sampler(values, warn),
            selection: lists.selection,
            checks: lists.checks,
            routes: RouteSettings { learn: learn.unwrap_or(true), rules: lists.routes },
            known_methods: list(values, "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"),
            redacted_query_keys: list(values, "SPANWIRE_REDACTED_QUERY_KEYS"),
            export,
            viewer: viewer.or(holds.then_some(true)),
            serving,
            set: set(values),
            warnings,
        }
    }

    /// What the trace stage is told.
    #[must_use]
    pub fn trace(&self) -> trace::Settings {
        let default = trace::Settings::default();
        trace::Settings {
            sampler: self.sampler.clone(),
            selection: self.selection.clone(),
            checks: self.checks.clone().unwrap_or(default.checks),
            routes: self.routes.clone(),
            active_after: u64::try_from(self.open_after.as_nanos()).unwrap_or(u64::MAX),
            known_methods: self.known_methods.clone().unwrap_or(default.known_methods),
            redacted_query_keys: self
                .redacted_query_keys
                .clone()
                .unwrap_or(default.redacted_query_keys),
            ..trace::Settings::default()
        }
    }

    /// What has changed since `before` and does not hold before the next start.
    #[must_use]
    pub fn only_at_start(&self, before: &Self) -> Vec<&'static str> {
        let lists = [
            (keys::CHECKS, self.checks != before.checks),
            (keys::ROUTES, self.routes.rules != before.routes.rules),
        ];
        let lists = lists.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key);
        KEYS.iter()
            .filter(|key| !AT_ONCE.contains(&key.path))
            .filter(|key| {
                let text = |settings: &Self| {
                    let set = settings.set.iter().find(|set| set.key.path == key.path);
                    set.map(|set| set.text.clone())
                };
                text(self) != text(before)
            })
            .map(|key| key.path)
            .chain(lists)
            .collect()
    }
}

/// The rules that are on: without those that are switched off by name, and which of them have no limit.
fn rules(values: &mut Values, warnings: &mut Vec<String>) -> Rules {
    let names: Vec<&str> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    let mut changed = |variable, rules, change: fn(Rules, Rule) -> Rules| {
        let known = |text: &str| {
            let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.map(runtime::rule).try_fold(rules, |rules, rule| Some(change(rules, rule?)))
        };
        values.parsed(variable, &names.join(", "), known, warnings).unwrap_or(rules)
    };
    let rules = changed("SPANWIRE_RULES_ON", Rules::default(), Rules::with);
    let rules = changed("SPANWIRE_RULES_UNLIMITED", rules, Rules::with_unlimited);
    changed("SPANWIRE_RULES_OFF", rules, Rules::without)
}

fn sampler(values: &mut Values, warnings: &mut Vec<String>) -> Sampler {
    let known = |text: &str| {
        let text = text.to_ascii_lowercase();
        SAMPLERS.contains(&text.as_str()).then_some(text)
    };
    let name = values
        .parsed("OTEL_TRACES_SAMPLER", &SAMPLERS.join(", "), known, warnings)
        .unwrap_or_else(|| "parentbased_always_on".to_owned());
    let argument = values.parsed(
        "OTEL_TRACES_SAMPLER_ARG",
        "a share from 0 to 1",
        |text| text.parse().ok().and_then(Share::ratio),
        warnings,
    );
    let parent_based = name.strip_prefix("parentbased_");
    let share = match parent_based.unwrap_or(&name) {
        "always_off" => Share::NONE,
        // The specification's default of the argument is 1.0.
        "traceidratio" => argument.or_else(|| Share::ratio(1.0)).unwrap_or(Share::ALL),
        _ => Share::ALL,
    };
    if parent_based.is_some() { Sampler::parent_based(share) } else { Sampler::always(share) }
}

fn export(values: &mut Values, warnings: &mut Vec<String>) -> otlp::Choice {
    let choice = otlp::choose(&|name| values.text(name).map(str::to_owned));
    for wrong in &choice.wrong {
        match wrong.weight {
            otlp::Weight::Advice => warnings.push(wrong.why.clone()),
            otlp::Weight::Ignored => values.wrong(&wrong.variable, &wrong.why, warnings),
            otlp::Weight::Fatal => {
                let place = values.place(&wrong.variable).cloned();
                let place = place.unwrap_or_else(|| Place::Variable(wrong.variable.clone()));
                values.problems.push(Problem { place, why: wrong.why.clone() });
            }
        }
    }
    choice
}

/// Most memory for traces, MiB: a tebibyte is a slip of the finger.
const MOST_MEMORY: u32 = 1 << 20;

fn serving(values: &mut Values, warnings: &mut Vec<String>) -> Serving {
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
    let memory = |text: &str| text.parse().ok().filter(|mib| (1..=MOST_MEMORY).contains(mib));
    Serving {
        otlp_in: values.parsed("SPANWIRE_VIEWER_OTLP_IN", "a port", port, warnings),
        store: values.text("SPANWIRE_VIEWER_STORE").map(PathBuf::from),
        memory: values.parsed("SPANWIRE_VIEWER_MEMORY", "a number of MiB", memory, warnings),
    }
}

/// `a,b`, blanks left out.
fn list(values: &Values, variable: &str) -> Option<Vec<String>> {
    let text = values.text(variable)?;
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    Some(parts.map(str::to_owned).collect())
}

/// Variables of ours that mean nothing: told, no more, because Kubernetes makes such for every service.
fn unknown_variables(values: &Values) -> Vec<String> {
    /// What our variables begin with.
    const OURS: &str = "SPANWIRE_";
    let known = || {
        let all = KEYS.iter().map(|key| key.variable).chain([super::FILE_VARIABLE]);
        all.filter_map(|variable| variable.strip_prefix(OURS))
    };
    let ours = values.variables().filter_map(|name| name.strip_prefix(OURS));
    ours.filter(|name| !known().any(|known| known == *name))
        .filter_map(|name| {
            let near = suggestion(name, known());
            (!near.is_empty()).then(|| format!("{OURS}{name} means nothing{near}"))
        })
        .collect()
}

fn set(values: &Values) -> Vec<Setting> {
    KEYS.iter()
        .filter_map(|key| {
            let text = values.text(key.variable)?.to_owned();
            Some(Setting { key, place: values.place(key.variable)?.clone(), text })
        })
        .collect()
}
