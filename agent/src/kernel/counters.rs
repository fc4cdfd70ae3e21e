//! The kernel half's counters under the names a user sees.

use std::{
    fs,
    os::fd::{AsRawFd, BorrowedFd},
};

use abi::Counter;

use super::load::Probes;

/// All kernel counters now.
#[must_use]
pub fn snapshot(probes: &Probes) -> Vec<(Counter, &'static str, u64)> {
    Counter::ALL.iter().map(|(counter, name)| (*counter, *name, probes.counter(*counter))).collect()
}

/// How often the kernel passed over one of our programs because one ran already: on a preemptible kernel, in a task that
/// was interrupted in the middle of it (`recursion_misses`, 5.12). What was to be seen then was not, but for what the second
/// program at its tracepoint saw. Too low by calls that both saw, which the second cannot always know.
#[must_use]
pub fn recursion_misses(probes: &Probes) -> u64 {
    let misses = |(name, fd): (&str, BorrowedFd<'_>)| {
        let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
        let misses = misses_in(&fdinfo.ok()?)?;
        if misses > 0 {
            log::debug!("{name} was passed over {misses} times");
        }
        // Where the second was passed over, the first has run, or is counted itself.
        let is_second =
            probes.hooks.second_programs().iter().any(|second| second.program.name == name);
        (!is_second).then_some(misses)
    };
    let seen_second = probes.counter(Counter::SeenSecond);
    probes.programs().filter_map(misses).sum::<u64>().saturating_sub(seen_second)
}

/// The number in what the kernel says of a program's descriptor (Documentation/filesystems/proc.rst).
fn misses_in(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::misses_in;

    #[test]
    fn misses_are_read_where_the_kernel_tells_them() {
        assert_eq!(misses_in("pos:\t0\nprog_type:\t26\nrecursion_misses:\t17\n"), Some(17));
        assert_eq!(misses_in("pos:\t0\nprog_type:\t26\n"), None);
    }
}
