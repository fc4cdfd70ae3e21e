//! A library to be preloaded into the agent: it tells what the kernel's verifier says of each program, and has the
//! verifier refuse one.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use super::{cache, fingerprint, installed, workload};
use crate::process;

/// The library, compiled if it is not yet. See its source for the variables it obeys.
///
/// # Errors
/// When there is no C compiler, or it does not compile.
pub fn preload() -> anyhow::Result<PathBuf> {
    let source = workload("verifier").join("preload.c");
    let built = cache("workloads")?
        .join(format!("verifier-{}.so", fingerprint(std::slice::from_ref(&source))?));
    if !built.exists() {
        let part = built.with_extension("part");
        let mut compiler = Command::new(installed("cc")?);
        compiler.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]);
        process::output(compiler.arg("-o").arg(&part).arg(source).arg("-ldl"))?;
        std::fs::rename(part, &built)?;
    }
    Ok(built)
}

/// What the verifier says of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Its name, as the kernel keeps it: 15 characters.
    pub name: String,
    /// Instructions the verifier followed.
    pub instructions: u64,
    /// Bytes of stack of each function, the program itself first.
    frames: Vec<u64>,
    /// Which function calls which.
    calls: BTreeSet<(usize, usize)>,
}

impl Verified {
    /// Bytes of stack of the deepest chain of calls, as the verifier adds them up: each frame in full 32 bytes. `None` if a
    /// function is called whose frame is not known.
    #[must_use]
    pub fn stack(&self) -> Option<u64> {
        self.depth(0)
    }

    fn depth(&self, function: usize) -> Option<u64> {
        let own = self.frames.get(function)?.max(&1).next_multiple_of(32);
        let mut below = 0;
        for (_, to) in self.calls.iter().filter(|(from, to)| *from == function && to != from) {
            below = below.max(self.depth(*to)?);
        }
        Some(own + below)
    }
}

/// Reads what the library wrote down.
#[must_use]
pub fn read_log(text: &str) -> Vec<Verified> {
    let mut all: Vec<Verified> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("program ") {
            all.push(Verified { name: name.to_owned(), ..Verified::default() });
        } else if let Some(last) = all.last_mut() {
            if let Some(depths) = line.strip_prefix("stack depth ") {
                let depths = depths.split([' ', '+']);
                last.frames = depths.map_while(|depth| depth.parse().ok()).collect();
            } else if let Some(call) = line.strip_prefix("call ") {
                let call = call.split_once(' ');
                last.calls.extend(
                    call.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?))),
                );
            } else if let Some(processed) = line.strip_prefix("processed ") {
                let number = processed.split(' ').next().and_then(|word| word.parse().ok());
                last.instructions = number.unwrap_or(0);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifiers_statistics_are_read() {
        let text = "program exit_call\ncall 0 1\ncall 1 2\ncall 0 2\nverification time 12 usec\nstack depth 64+0+40\nprocessed 120 insns (limit 1000000) max_states_per_insn 1\nprogram x\nstack depth 8\nprocessed 3 insns\n";
        let read = read_log(text);
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].name.as_str(), read[0].instructions), ("exit_call", 120));
        assert_eq!(read[0].stack(), Some(64 + 32 + 64));
        assert_eq!((read[1].instructions, read[1].stack()), (3, Some(32)));
        assert_eq!(read_log("program x\ncall 0 1\nstack depth 8\n")[0].stack(), None);
    }
}
