//! Calls that the agent puts into the probes' place before it loads them.
//!
//! Since Linux 7.0 a tracepoint's programs can be preempted, and another task's program would then find the first one's
//! half-done work in everything that belongs to the CPU. `bpf_preempt_disable` (6.10) prevents that: a task is taken off
//! the CPU at the end of a program, not in the middle. It is a function of the kernel (a kfunc) whose number only the
//! kernel's type information tells, so the probes hold marks that the agent replaces.

/// An instruction of BPF (Documentation/bpf/standardization/instruction-set.rst), as its eight bytes lie in an object.
pub type Instruction = [u8; 8];

/// Numbers of helper functions that no kernel has: the calls of them are the marks.
pub const DISABLE: u32 = 0x7a5c_0001;
/// The other one.
pub const ENABLE: u32 = 0x7a5c_0002;
/// The same two in programs that have been preemptible for longer.
pub const DISABLE_EARLY: u32 = 0x7a5c_0003;
/// The other one.
pub const ENABLE_EARLY: u32 = 0x7a5c_0004;

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

/// What stands for a call that is not needed: `r0 = 0`, as if it had returned.
pub const NOTHING: Instruction = [MOVE, 0, 0, 0, 0, 0, 0, 0];

/// Replaces the marks in an object; how many there were.
pub fn replace(object: &mut [u8], disable: Instruction, enable: Instruction) -> usize {
    replace_marks(object, [(DISABLE, disable), (ENABLE, enable)])
}

/// The same with the marks of programs that have been preemptible for longer.
pub fn replace_early(object: &mut [u8], disable: Instruction, enable: Instruction) -> usize {
    replace_marks(object, [(DISABLE_EARLY, disable), (ENABLE_EARLY, enable)])
}

fn replace_marks(object: &mut [u8], marks: [(u32, Instruction); 2]) -> usize {
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
        let object = [mark(DISABLE), mark(5), exit, mark(ENABLE), exit].concat();
        let mut replaced = object.clone();
        assert_eq!(replace(&mut replaced, call(77), call(78)), 2);
        assert_eq!(replaced, [call(77), mark(5), exit, call(78), exit].concat());
        assert_eq!(call(77), [0x85, 0x20, 0, 0, 77, 0, 0, 0]);
        let mut without = object;
        assert_eq!(replace(&mut without, NOTHING, NOTHING), 2);
        assert_eq!(without, [NOTHING, mark(5), exit, NOTHING, exit].concat());
    }
}
