//! One rule: what it fits, and what becomes of that.

use super::{Conditions, Verdict};
use crate::trace::Share;

/// A rule of the operator's.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What it is called where it is counted; unique.
    pub name: String,
    /// What becomes of what it fits.
    pub action: Action,
    /// What it fits.
    pub conditions: Conditions,
}

/// What becomes of what a rule fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// It is traced.
    Include {
        /// Of the traces that begin with it, no more than this share.
        share: Option<Share>,
    },
    /// It is left out.
    Exclude,
}

impl Rule {
    pub(super) const fn verdict(&self, number: usize) -> Verdict {
        match self.action {
            Action::Include { share } => Verdict::Traced(share),
            Action::Exclude => Verdict::LeftOut(number),
        }
    }
}
