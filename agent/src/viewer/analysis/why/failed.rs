//! Why a request failed: the deepest failing span on a path of failing spans, and how often it was tried.

use std::sync::Arc;

use super::{Reason, Teller, WhyKind, said};
use crate::viewer::analysis::tree::NONE;
use crate::viewer::span::Kind;

impl Teller<'_> {
    /// Follows the failing spans down to the first that failed.
    pub(super) fn failed(&self, entry: u32) -> Option<Reason> {
        if !self.span(entry).failed {
            return None;
        }
        let (mut cause, mut attempts) = (entry, 1);
        loop {
            let failing = |at: &u32| self.span(*at).failed;
            let children = self.tree.children(cause);
            let last = children.iter().copied().filter(failing).max_by_key(|at| self.span(*at).end);
            let Some(child) = last else { break };
            let alike = |at: &&u32| {
                let (a, b) = (self.span(**at), self.span(child));
                failing(at) && a.operation == b.operation && a.kind == b.kind && a.peer == b.peer
            };
            attempts = attempts.max(children.iter().filter(alike).count());
            cause = child;
        }
        let span = self.span(cause);
        let outcome = span.outcome(&self.trace.dictionary).unwrap_or_else(|| "an error".to_owned());
        let words = words(&outcome);
        let again = match attempts {
            1 => "",
            2 => " twice",
            _ => " again and again",
        };
        let (short, clause) = match span.kind {
            Kind::Client | Kind::Producer => {
                let to = self.answerer(cause);
                let from = span.service();
                let short = match words {
                    Some(words) => format!("{from}: {to} {words}"),
                    None => format!("{from}: {to} answered {outcome}"),
                };
                let clause = match words {
                    Some(words) => format!("{from}'s call to {to} {words}{again}"),
                    None => format!("{to} answered {outcome} to {from}{again}"),
                };
                (short, clause)
            }
            _ => {
                let who = span.service();
                match words {
                    Some(words) => {
                        (format!("{who}: {words}"), format!("the request to {who} {words}{again}"))
                    }
                    None => {
                        (format!("{who}: {outcome}"), format!("{who} answered {outcome}{again}"))
                    }
                }
            }
        };
        Some(Reason {
            kind: if outcome.contains("timeout") || outcome == "504" {
                WhyKind::TimedOut
            } else if attempts > 1 {
                WhyKind::Retried
            } else {
                WhyKind::Failed
            },
            short: if attempts > 1 { format!("{short}, also on retry") } else { short },
            clause: said(clause, cause),
            span: cause,
        })
    }

    /// Who answers this call.
    fn answerer(&self, client: u32) -> Arc<str> {
        match self.other[client as usize] {
            NONE => self.span(client).peer.clone().unwrap_or_else(|| "its peer".into()),
            server => self.span(server).service().clone(),
        }
    }
}

/// What happened to a connection, as one says it.
fn words(outcome: &str) -> Option<&'static str> {
    Some(match outcome {
        "timeout" => "timed out",
        "connection_reset" => "was reset",
        "connection_closed" => "was closed before the answer",
        "cancelled" => "was given up",
        _ => return None,
    })
}
