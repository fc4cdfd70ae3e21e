//! A library to be preloaded into the agent: it tells what the kernel's verifier says of each program, and has the
//! verifier refuse one.

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
    let built =
        cache("workloads")?.join(format!("verifier-{}.so", fingerprint(&[source.clone()])?));
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its name, as the kernel keeps it: 15 characters.
    pub name: String,
    /// Instructions the verifier followed.
    pub instructions: u64,
    /// Bytes of stack of each function, the program itself first.
    pub stack: Vec<u64>,
}

/// Reads what the library wrote down.
#[must_use]
pub fn read_log(text: &str) -> Vec<Verified> {
    let mut all = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("program ") {
            all.push(Verified { name: name.to_owned(), instructions: 0, stack: Vec::new() });
        } else if let Some(last) = all.last_mut() {
            if let Some(depths) = line.strip_prefix("stack depth ") {
                let depths = depths.split([' ', '+']);
                last.stack = depths.map_while(|depth| depth.parse().ok()).collect();
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
        let text = "program exit_call\nverification time 12 usec\nstack depth 64+0+16\nprocessed 120 insns (limit 1000000) max_states_per_insn 1\nprogram x\nprocessed 3 insns\n";
        let read = read_log(text);
        assert_eq!(read.len(), 2);
        assert_eq!(
            read[0],
            Verified { name: "exit_call".to_owned(), instructions: 120, stack: vec![64, 0, 16] }
        );
        assert_eq!((read[1].instructions, read[1].stack.len()), (3, 0));
    }
}
