//! Language runtimes: which of their own records tell for whom a process works, and where these are in it (D5).
//!
//! A runtime is one folder here (how to know it, its versions and their offsets, how to check them against the living
//! process) and one of probes, `ebpf/src/probes/runtime`. What it answers in the kernel is a task key or a reason why
//! there is none. Nothing is used that was not checked in the process itself; nothing is ever written to one.

mod attach;
mod ends;
mod gauge;
pub mod go;
mod memory;
pub mod python;
mod traps;
mod wanted;

use abi::runtime::Rule;

pub use attach::Attacher;
pub(crate) use attach::{GoMaps, Maps};
pub use ends::Ends;
pub(crate) use python::Maps as PoolMaps;
pub(crate) use traps::Trap;
pub(crate) use wanted::waiting;

/// The rules that are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    on: u64,
    /// Those whose probes stay where they are, however often they are met.
    unlimited: u64,
}

impl Default for Rules {
    fn default() -> Self {
        let on = Rule::ALL.iter().filter(|rule| !rule.is_opt_in());
        Self { on: on.fold(0, |bits, rule| bits | 1 << *rule as u64), unlimited: 0 }
    }
}

impl Rules {
    /// The same without one.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self { on: self.on & !(1 << rule as u64), ..self }
    }

    /// The same with one more.
    #[must_use]
    pub const fn with(self, rule: Rule) -> Self {
        Self { on: self.on | 1 << rule as u64, ..self }
    }

    /// The same with this one without a limit.
    #[must_use]
    pub const fn with_unlimited(self, rule: Rule) -> Self {
        Self { unlimited: self.unlimited | 1 << rule as u64, ..self }
    }

    /// Whether it is on.
    #[must_use]
    pub const fn has(self, rule: Rule) -> bool {
        self.on & 1 << rule as u64 != 0
    }

    /// Whether its probes are in a process only while that does not meet them often.
    #[must_use]
    pub const fn limits(self, rule: Rule) -> bool {
        self.unlimited & 1 << rule as u64 == 0
    }

    /// As the probes take them.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.on
    }
}

/// The rule of that name.
#[must_use]
pub fn rule(name: &str) -> Option<Rule> {
    Rule::ALL.into_iter().find(|rule| rule.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_switched_off_one_by_one() {
        let rules = Rules::default().without(Rule::GoChild);
        assert!(!rules.has(Rule::GoChild) && rules.has(Rule::GoHandler));
        assert_eq!(rules.bits(), 0b1_1111_1010);
        assert!(
            rules.has(Rule::PythonPool) && !rules.without(Rule::PythonPool).has(Rule::PythonPool)
        );
        let unlimited = rules.with_unlimited(Rule::PythonPool);
        assert!(rules.limits(Rule::PythonPool) && !unlimited.limits(Rule::PythonPool));
        assert!(unlimited.limits(Rule::GoNewproc) && unlimited.bits() == rules.bits());
        assert!(!Rules::default().has(Rule::GoChannel), "it is only used where it is asked for");
        assert!(rules.with(Rule::GoChannel).has(Rule::GoChannel));
        assert_eq!(rule("go-context"), Some(Rule::GoContext));
        assert_eq!(rule("go-nothing"), None);
    }
}
