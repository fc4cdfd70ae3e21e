//! Two functions that goroutines spend their lives in, `(*conn).serve` and `(*persistConn).writeLoop` of `net/http`: where the
//! wrapper is that the goroutine starts with, and where the function's frame then lies on its stack.
//!
//! A goroutine begins at a fixed distance from the top of its stack (`runtime.newproc1`: four words are left free, the fifth is
//! the return address into `goexit`), so that the frame is where the wrapper's prologue says. The probes check the return
//! address there each time.

use super::{
    Version,
    code::{CALL, Code},
    functions::Functions,
};

/// What to look for: the wrapper's name begins with the first, and it calls the second.
pub(super) type Sought = (&'static str, &'static str);

pub(super) const SERVE: Sought = ("net/http.(*Server).Serve", "net/http.(*conn).serve");
pub(super) const WRITE: Sought =
    ("net/http.(*Transport).dialConn", "net/http.(*persistConn).writeLoop");

/// How far below the frame of `writeLoop` the request and the channel are kept that it was given (`wr.req`, `wr.ch`): as found in
/// living programs of every version from 1.18 to 1.26, because debugging information does not tell. Where a build differs
/// (profile-guided, unoptimised) what is read there proves nothing, and nobody is found.
pub(super) const fn written(version: Version) -> (u64, u64) {
    if version.1 < 21 { (0x78, 0x80) } else { (0x98, 0x90) }
}

/// A function that a goroutine starts with, and that only calls another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrapper {
    /// Its address.
    pub(super) start: u64,
    /// Where the function that it calls returns to.
    pub(super) returns: u64,
    /// How far below the top of the stack that one's frame pointer is.
    pub(super) frame: u64,
}

/// Finds a wrapper; `None` if the program has none, or more than one.
pub(super) fn wrapper(functions: &Functions, code: &Code, sought: Sought) -> Option<Wrapper> {
    let target = functions.named(sought.1)?.start;
    let mut found = functions
        .iter()
        .filter(|function| function.name.starts_with(sought.0) && function.name != sought.0)
        .filter_map(|function| {
            let (at, _) = code.calls(function).find(|(_, calls)| *calls == target)?;
            let frame = frame(code.of(function))?;
            Some(Wrapper { start: function.start, returns: at.wrapping_add(CALL), frame })
        });
    found.next().filter(|_| found.next().is_none())
}

/// Bytes of a prologue: the check of the stack, then the frame.
const PROLOGUE: usize = 48;

/// How far below the top of the stack the frame pointer is of what a function with this prologue calls.
fn frame(code: &[u8]) -> Option<u64> {
    const PUSH_FRAME: [u8; 4] = [0x55, 0x48, 0x89, 0xe5]; // push rbp; mov rbp, rsp
    const RESERVE: [u8; 3] = [0x48, 0x83, 0xec]; // sub rsp, imm8
    /// Left free at the top, the return address of the wrapper and that of what it calls, and that one's saved frame pointer.
    const FIXED: u64 = 4 * 8 + 8 + 8 + 8;
    let prologue = code.get(..PROLOGUE.min(code.len()))?;
    let reserve = prologue.windows(4).position(|bytes| bytes.starts_with(&RESERVE))?;
    let size = u64::from(*prologue.get(reserve + 3)?);
    let pushes = prologue[..reserve].windows(4).any(|bytes| bytes == PUSH_FRAME);
    // Before 1.21 the saved frame pointer lies in what is reserved.
    Some(FIXED + size + if pushes { 8 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_prologues_give_the_same_distance() {
        // Go 1.26: cmp rsp, [r14+16]; jbe; push rbp; mov rbp, rsp; sub rsp, 8
        let new = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 8];
        // Go 1.20: …; sub rsp, 16; mov [rsp+8], rbp
        let old =
            [0x49, 0x3b, 0x66, 0x10, 0x76, 0x20, 0x48, 0x83, 0xec, 16, 0x48, 0x89, 0x6c, 0x24];
        assert_eq!((frame(&new), frame(&old)), (Some(72), Some(72)));
        assert_eq!(frame(&[0x90; 64]), None);
    }
}
