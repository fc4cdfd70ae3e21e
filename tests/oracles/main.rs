//! Differential oracles: our HTTP/1 reader beside those of Node (llhttp) and of Python (h11), over messages that are well
//! formed and messages that are made to be misread.
//!
//! All must find the same messages: the same ends, the same bodies. Where one refuses a message the other must, too, unless
//! the difference is on purpose and stands with its reason in `differences`. We watch what others do and refuse little
//! that some server accepts, so most of these are of one kind; what must never be is a message that ends somewhere else.

mod differences;
mod messages;
mod ours;
mod theirs;

use std::process::ExitCode;

use anyhow::ensure;
use tests::outcome::TestResult;
use tests::runner::Suite;

use differences::{Difference, H11, LLHTTP};
use messages::{Case, cases, mutations};
use theirs::{Oracle, Read};

fn main() -> ExitCode {
    let mut suite = Suite::default();
    suite.before(theirs::prepare);
    suite.slow("oracle::llhttp", 120, || compare(Oracle::Llhttp, LLHTTP));
    suite.slow("oracle::h11", 120, || compare(Oracle::H11, H11));
    suite.slow("oracle::llhttp_mutated", 120, || agree(Oracle::Llhttp));
    suite.slow("oracle::h11_mutated", 120, || agree(Oracle::H11));
    suite.main()
}

/// Every case, each with at most one thing in it that is not plain.
fn compare(oracle: Oracle, on_purpose: &[Difference]) -> TestResult {
    let cases = cases();
    let read = oracle.read(&cases)?;
    let mut wrong = Vec::new();
    let mut seen = vec![false; on_purpose.len()];
    for (case, theirs) in cases.iter().zip(&read) {
        let ours = ours::read(case);
        if ours == theirs.messages {
            continue;
        }
        match on_purpose.iter().position(|known| known.tag == case.tag) {
            Some(known) if on_purpose[known].elsewhere || agree_so_far(&ours, theirs) => {
                seen[known] = true;
            }
            _ => wrong.push(told(case, &ours, theirs)),
        }
    }
    ensure!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let stale: Vec<_> =
        on_purpose.iter().zip(seen).filter(|(_, seen)| !seen).map(|(known, _)| known.tag).collect();
    ensure!(stale.is_empty(), "no difference any more: {stale:?}");
    println!("{} cases", cases.len());
    Ok(())
}

/// Messages with some bytes changed at random: either may stop before the other, but neither sees a message end where the
/// other does not.
fn agree(oracle: Oracle) -> TestResult {
    let cases = mutations(3000);
    let read = oracle.read(&cases)?;
    let mut both = 0;
    let mut wrong = Vec::new();
    for (case, theirs) in cases.iter().zip(&read) {
        let ours = ours::read(case);
        if differences::has_bare_return(&case.bytes) {
            continue;
        }
        both += usize::from(!ours.is_empty() && !theirs.messages.is_empty());
        if !agree_so_far(&ours, theirs) {
            wrong.push(told(case, &ours, theirs));
        }
    }
    ensure!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    ensure!(both > cases.len() / 3, "only {both} of {} were read by both", cases.len());
    println!("{} cases, {both} with messages that both read", cases.len());
    Ok(())
}

/// Whether neither sees another message where the other sees one.
fn agree_so_far(ours: &[(u64, u64)], theirs: &Read) -> bool {
    ours.iter().zip(&theirs.messages).all(|(ours, theirs)| ours == theirs)
}

fn told(case: &Case, ours: &[(u64, u64)], theirs: &Read) -> String {
    let Case { tag, kind, bytes, .. } = case;
    let Read { messages, refused } = theirs;
    let refused = refused.as_deref().unwrap_or("no");
    format!(
        "{tag} ({kind:?}): ours {ours:?}, theirs {messages:?} (refused: {refused})\n    {}",
        bytes.escape_ascii()
    )
}
