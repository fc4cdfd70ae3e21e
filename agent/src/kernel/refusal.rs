//! What the kernel says when it refuses a program, short enough for a person.
#![forbid(unsafe_code)]

/// An error with its causes on one line; of a verifier's log, pages long, only the line that says why.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = inner.source();
    }
    // The verifier ends with statistics.
    let counts = ["processed ", "verification time ", "stack depth ", "mark_read "];
    let mut lines = line
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !counts.iter().any(|count| line.starts_with(count)));
    match (lines.next(), lines.next_back()) {
        (Some(first), Some(last)) => format!("{first} … {last}"),
        (Some(only), None) => only.to_owned(),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error(
        "exit is refused: Verifier output: Validating f()...\n0: (b7) r0 = 0\n  R1 invalid mem access 'scalar'\nverification time 9 usec\nstack depth 0+8\nprocessed 12 insns (limit 1000000)\n\n"
    )]
    struct Refused;

    #[test]
    fn of_a_verifiers_log_the_reason_is_told() {
        assert_eq!(
            one_line(&Refused),
            "exit is refused: Verifier output: Validating f()... … R1 invalid mem access 'scalar'"
        );
    }
}
