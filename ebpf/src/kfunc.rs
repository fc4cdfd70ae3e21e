//! Functions of the kernel (kfuncs) that the probes call: marks, which the agent replaces before it loads them.
//!
//! A kfunc is called by a number that only the running kernel's type information tells. The agent must replace every mark:
//! no kernel takes one.
//!
//! - `bpf_preempt_disable` and `bpf_preempt_enable` (6.10): since Linux 7.0 a tracepoint's programs can be preempted, and
//!   another task's program would then find the first one's half-done work in everything that belongs to the CPU. Between the
//!   two that cannot happen: a task is taken off the CPU at the end of a program, not in the middle.
//! - `bpf_rdonly_cast` (6.2): has the verifier take an address for one of a struct, whose members are read by plain loads then.
//!   The verifier makes a move of registers out of the call, where a helper would cost ten to thirty times that.

/// An instruction of BPF (Documentation/bpf/standardization/instruction-set.rst), as its eight bytes lie in an object.
pub type Instruction = [u8; 8];

/// Numbers of helper functions that no kernel has: the calls of them are the marks. This one is of `bpf_preempt_disable`,
pub const PREEMPT_DISABLE: u32 = 0x7a5c_0001;
/// this one of `bpf_preempt_enable`,
pub const PREEMPT_ENABLE: u32 = 0x7a5c_0002;
/// these are of the same two in programs that have been preemptible for longer,
pub const PREEMPT_DISABLE_EARLY: u32 = 0x7a5c_0003;
/// the other one of them,
pub const PREEMPT_ENABLE_EARLY: u32 = 0x7a5c_0004;
/// and this one is of `bpf_rdonly_cast`.
pub const RDONLY_CAST: u32 = 0x7a5c_0005;

/// `BPF_JMP | BPF_CALL`
const CALL: u8 = 0x85;
/// `BPF_PSEUDO_KFUNC_CALL`, as source register.
const KFUNC: u8 = 2 << 4;
/// `BPF_ALU64 | BPF_MOV | BPF_K`
const MOVE: u8 = 0xb7;

/// The call of a mark.
#[must_use]
pub const fn mark(number: u32) -> Instruction {
    let [a, b, c, d] = number.to_le_bytes();
    [CALL, 0, 0, 0, a, b, c, d]
}

/// The call of the kernel's function with that number in its type information.
#[must_use]
pub const fn call(function: u32) -> Instruction {
    let [a, b, c, d] = function.to_le_bytes();
    [CALL, KFUNC, 0, 0, a, b, c, d]
}

/// What stands for a call that is not needed, or that nothing comes to: `r0 = 0`, as if it had returned.
pub const NOTHING: Instruction = [MOVE, 0, 0, 0, 0, 0, 0, 0];

/// Replaces marks in an object, each by its number; how many there were.
pub fn replace(object: &mut [u8], marks: &[(u32, Instruction)]) -> usize {
    let mut replaced = 0;
    // Sections with instructions lie at multiples of eight.
    for found in object.chunks_exact_mut(8) {
        let Some((_, new)) = marks.iter().find(|(number, _)| found == mark(*number)) else {
            continue;
        };
        found.copy_from_slice(new);
        replaced += 1;
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_replaced_and_nothing_else() {
        let exit: Instruction = [0x95, 0, 0, 0, 0, 0, 0, 0];
        let object = [mark(PREEMPT_DISABLE), mark(5), exit, mark(RDONLY_CAST), exit].concat();
        let mut replaced = object.clone();
        let marks = [(PREEMPT_DISABLE, call(77)), (RDONLY_CAST, call(78))];
        assert_eq!(replace(&mut replaced, &marks), 2);
        assert_eq!(replaced, [call(77), mark(5), exit, call(78), exit].concat());
        assert_eq!(call(77), [0x85, 0x20, 0, 0, 77, 0, 0, 0]);
        let mut without = object;
        assert_eq!(replace(&mut without, &[(PREEMPT_DISABLE, NOTHING)]), 1);
        assert_eq!(without, [NOTHING, mark(5), exit, mark(RDONLY_CAST), exit].concat());
    }
}
