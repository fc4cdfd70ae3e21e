//! What was promised, and whether this run kept it.
//!
//! A target is judged by the median; a difference that is smaller than the run could tell from nothing is nothing.
//! A target whose mode did not run is not judged, never met.

use crate::bench::{Outcome, PLANTED, Programs};
use crate::modes::{Sort, goroutines};
use crate::statistics::Comparison;
use crate::watched::Use;

/// How far from the planted delay what was found may be, as a part of it; more where the noise is more.
const PLANTED_WITHIN: f64 = 0.25;

/// What is nothing in any case, ns: so much one start of the measuring process differs from the next, which the rounds of
/// one process cannot show.
const NOTHING: f64 = 5.0;

/// Noise that leaves a target of a few nanoseconds judgeable, ns.
const JUDGEABLE: f64 = 20.0;

/// Noise of a latency that still tells something, as a part of the latency: within more, anything would be.
const TELLING: f64 = 0.5;

/// A target and what became of it.
pub(crate) struct Verdict {
    pub(crate) target: String,
    pub(crate) found: String,
    pub(crate) end: End,
}

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Met,
    Missed,
    /// The noise is larger than what was to be judged.
    Unclear,
}

impl End {
    const fn met(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Unclear => "unclear: too much noise",
        }
    }
}

/// All that can be judged by these modes.
pub(crate) fn judge(outcomes: &[Outcome]) -> Vec<Verdict> {
    let mut verdicts = planted(outcomes);
    let mode = |name: &str| outcomes.iter().find(|outcome| outcome.mode.name == name);
    if let Some(calls) = mode("calls") {
        for name in ["TCP write, traced", "TCP read, traced"] {
            verdicts.extend(at_most(calls, name, 500.0));
        }
        for name in ["TCP write, ignored", "TCP read, ignored"] {
            verdicts.extend(at_most(calls, name, 100.0));
        }
        verdicts.extend(at_most(calls, "write, no socket", 0.0));
    }
    if let Some(unrelated) = mode("unrelated") {
        for name in ["getppid", "file write", "file read", "pipe write", "pipe read"] {
            verdicts.extend(at_most(unrelated, name, 0.0));
        }
        for name in ["UDP send", "UDP receive"] {
            verdicts.extend(at_most(unrelated, name, 100.0));
        }
    }
    for saturated in ["nginx-saturated", "nginx-serving"].into_iter().filter_map(mode) {
        verdicts.extend(ratio(saturated, "requests/s", 0.90));
    }
    if let Some(half) = mode("nginx-half") {
        verdicts.extend(within_noise(half, "latency p99"));
    }
    if let Some(fixed) = mode("nginx-10000") {
        let each = fixed.of_agents(|used| used.cpu / used.exchanges().max(1.0));
        verdicts.push(Verdict {
            target: "nginx-10000: at most 0.15 CPU for 10,000 exchanges/s".to_owned(),
            found: format!("{:.3}", each * 10_000.0 / 1e9),
            end: End::met(each * 10_000.0 / 1e9 <= 0.15),
        });
        verdicts.push(nothing_lost(fixed));
    }
    if let Some(headers) = mode("nginx-headers") {
        // Both ends are seen of each request.
        let there = headers.expected.iter().sum::<f64>() / 2.0;
        let part = headers.headers() / there.max(1.0);
        verdicts.push(Verdict {
            target: "nginx-headers: a header in each request".to_owned(),
            found: format!("{:.2} % of {there:.0}", part * 100.0),
            end: End::met(part >= 1.0),
        });
        verdicts.push(nothing_lost(headers));
    }
    if let Some(viewer) = mode("viewer") {
        verdicts.extend(within_noise(viewer, "latency p99"));
        let lost = viewer.sum(|used| used.count("viewer.spans_dropped"));
        let offered = viewer.sum(|used| used.count("viewer.spans_offered"));
        verdicts.push(Verdict {
            target: "viewer: no span lost on the way into its store".to_owned(),
            found: format!("{lost:.0} of {offered:.0}"),
            end: End::met(lost == 0.0 && offered > 0.0),
        });
    }
    if let Some(calls) = mode("go-calls") {
        verdicts.extend(at_most(calls, goroutines::WRITE, 3000.0));
        verdicts.extend(traps(calls, 0.0));
    }
    if let Some(grpc) = mode("go-grpc") {
        // One where the call is opened, and one where it is served.
        verdicts.extend(traps(grpc, 2.0));
    }
    if let Some(hundred) = mode("hundred-services") {
        let [_, mut steady, peak] = [0, 1, 2].map(|at| hundred.of_agents(|used| used.memory[at]));
        if let Some((_, used)) = &hundred.lasting {
            steady = steady.max(used.memory[1]);
        }
        verdicts.push(Verdict {
            target: "hundred-services: at most 64 MB resident".to_owned(),
            found: format!("{steady:.0} MB; {peak:.0} MB for a moment while the probes are loaded"),
            end: End::met(steady <= 64.0),
        });
        verdicts.push(nothing_lost(hundred));
    }
    verdicts
}

/// The bench's test of itself.
fn planted(outcomes: &[Outcome]) -> Vec<Verdict> {
    let all = outcomes.iter().flat_map(|outcome| &outcome.compared);
    all.filter_map(|(measure, compared)| {
        let found = compared.planted?.median;
        let off = (found - f64::from(PLANTED)).abs();
        Some(Verdict {
            target: format!("{}: the planted {PLANTED} ns are found", measure.name),
            found: format!("{found:.0} ns"),
            end: if compared.least > f64::from(PLANTED) / 2.0 {
                End::Unclear
            } else {
                End::met(off <= (f64::from(PLANTED) * PLANTED_WITHIN).max(compared.least))
            },
        })
    })
    .collect()
}

fn measure<'a>(outcome: &'a Outcome, name: &str) -> Option<&'a Comparison> {
    outcome.compared.iter().find(|(measure, _)| measure.name == name).map(|(_, found)| found)
}

fn at_most(outcome: &Outcome, name: &str, most: f64) -> Option<Verdict> {
    let compared = measure(outcome, name)?;
    let added = compared.added.median;
    Some(Verdict {
        target: format!("{name}: at most +{most:.0} ns"),
        found: format!("{added:+.0} ns ±{:.0}", compared.least),
        end: if compared.least > most.max(JUDGEABLE) {
            End::Unclear
        } else {
            End::met(added <= most.max(compared.least).max(NOTHING))
        },
    })
}

fn ratio(outcome: &Outcome, name: &str, least: f64) -> Option<Verdict> {
    let compared = measure(outcome, name)?;
    let (lost, seen) = (outcome.sum(Use::events_lost), outcome.sum(Use::events));
    let spans = outcome.sum(Use::spans_lost);
    Some(Verdict {
        target: format!(
            "{}: at least {least:.2} of the throughput, nothing lost",
            outcome.mode.name
        ),
        found: format!(
            "{:.3}; {:.2} % of the events and {spans:.0} spans lost",
            compared.ratio.median,
            100.0 * lost / (lost + seen).max(1.0)
        ),
        end: End::met(compared.ratio.median >= least && lost + spans == 0.0),
    })
}

/// Traps into the kernel for a request with its call: runs of the agent's programs in other programs.
fn traps(outcome: &Outcome, most: f64) -> Option<Verdict> {
    /// They are called, as the kernel keeps names.
    const NAMES: [&str; 5] =
        ["grpc_new_stream", "grpc_handle_str", "http2_write_hea", "http2_run_handl", "go_newproc"];
    let is_it = |programs: &&Programs| programs.part == Some("call") && !programs.without_rules;
    let programs = outcome.programs.iter().find(is_it)?;
    let runs = NAMES.iter().filter_map(|name| programs.runs.get(*name));
    let each = runs.map(|runs| runs.count).sum::<u64>() as f64 / programs.units.max(1.0);
    Some(Verdict {
        target: format!("{}: at most {most:.0} traps a request", outcome.mode.name),
        found: format!("{each:.2}"),
        end: End::met(each <= most),
    })
}

fn within_noise(outcome: &Outcome, name: &str) -> Option<Verdict> {
    let compared = measure(outcome, name)?;
    let added = compared.added.median;
    Some(Verdict {
        target: format!("{}: {name} as without, within the noise", outcome.mode.name),
        found: format!("{:+.1} µs ±{:.1}", added / 1e3, compared.least / 1e3),
        end: if added > compared.least {
            End::Missed
        } else if compared.least > compared.without.median * TELLING {
            End::Unclear
        } else {
            End::Met
        },
    })
}

fn nothing_lost(outcome: &Outcome) -> Verdict {
    let (events, spans) = (outcome.sum(Use::events_lost), outcome.sum(Use::spans_lost));
    let seconds = outcome.agents.len() as f64;
    let rate = outcome.sum(Use::exchanges) / seconds.max(1.0);
    Verdict {
        target: format!("{}: nothing lost", outcome.mode.name),
        found: format!(
            "{events:.0} events and {spans:.0} spans lost; {rate:.0} exchanges an agent, {:.2} % of all seen",
            outcome.captured().unwrap_or(0.0) * 100.0
        ),
        end: End::met(events + spans == 0.0),
    }
}

/// Whether every comparison with a planted delay found it.
pub(crate) fn planted_found(outcomes: &[Outcome]) -> bool {
    planted(outcomes).iter().all(|verdict| verdict.end == End::Met)
        && outcomes
            .iter()
            .flat_map(|outcome| &outcome.compared)
            .all(|(measure, compared)| measure.sort != Sort::Call || compared.planted.is_some())
}
