//! Just enough of x86-64 to see in a program's code whom a function calls, and which variables it may use.
//!
//! What looks like a call of one of a few known functions, or like an address of a variable, is one for sure, or is checked
//! by who asks; so nothing is disassembled for these. Where probes are put, each instruction is: one in the middle of another
//! would break the program.

use iced_x86::{Code as Instruction, Decoder, DecoderOptions};

use super::functions::Function;

/// The text of a program.
pub(super) struct Code {
    /// Address of its first byte.
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
}

/// `CALL rel32`: its length, with the address relative to what follows.
pub(super) const CALL: u64 = 5;

impl Code {
    /// The bytes of a function.
    pub(super) fn of(&self, function: Function<'_>) -> &[u8] {
        let at = |address: u64| usize::try_from(address.wrapping_sub(self.start)).ok();
        let range = at(function.start).zip(at(function.end));
        range.and_then(|(from, to)| self.bytes.get(from..to)).unwrap_or_default()
    }

    /// Every `CALL` in there: its own address and what it calls. Among them are some that are none.
    pub(super) fn calls(&self, function: Function<'_>) -> impl Iterator<Item = (u64, u64)> {
        calls(self.of(function), function.start)
    }

    /// The same of all code.
    pub(super) fn all_calls(&self) -> impl Iterator<Item = (u64, u64)> {
        calls(&self.bytes, self.start)
    }

    /// Where a function returns: the addresses of its `RET`s. `None` if there is something in it that is no instruction, or nothing
    /// that returns.
    pub(super) fn returns(&self, function: Function<'_>) -> Option<Vec<u64>> {
        let mut found = Vec::new();
        let code = self.of(function);
        for instruction in Decoder::with_ip(64, code, function.start, DecoderOptions::NONE) {
            match instruction.code() {
                Instruction::INVALID => return None,
                Instruction::Retnq => found.push(instruction.ip()),
                _ => {}
            }
        }
        (!found.is_empty()).then_some(found)
    }

    /// The `CALL`s in there of what is wanted: their addresses, where they return to, and what they call. None if there is something in
    /// it that is no instruction.
    pub(super) fn sites(
        &self,
        function: Function<'_>,
        wanted: impl Fn(u64) -> bool,
    ) -> Vec<(u64, u64, u64)> {
        let mut found = Vec::new();
        let code = self.of(function);
        for instruction in Decoder::with_ip(64, code, function.start, DecoderOptions::NONE) {
            match instruction.code() {
                Instruction::INVALID => return Vec::new(),
                Instruction::Call_rel32_64 if wanted(instruction.near_branch_target()) => {
                    let calls = instruction.near_branch_target();
                    found.push((instruction.ip(), instruction.next_ip(), calls));
                }
                _ => {}
            }
        }
        found
    }

    /// Whether a function calls a function value: through a register, or through one that points to it. What cannot be read may.
    pub(super) fn calls_what_it_is_given(&self, function: Function<'_>) -> bool {
        Decoder::with_ip(64, self.of(function), function.start, DecoderOptions::NONE).iter().any(
            |instruction| {
                matches!(instruction.code(), Instruction::Call_rm64 | Instruction::INVALID)
            },
        )
    }

    /// Every address that an operand relative to the instruction pointer may mean in there. Most are none.
    pub(super) fn operands(&self, function: Function<'_>) -> Vec<u64> {
        /// ModRM with `mod` 0 and `rm` 5: 32 bits relative to what follows.
        const RELATIVE: u8 = 0b0000_0101;
        const WITHOUT_REGISTER: u8 = 0b1100_0111;
        let code = self.of(function);
        let mut found: Vec<u64> = code
            .windows(5)
            .enumerate()
            .filter(|(_, bytes)| bytes[0] & WITHOUT_REGISTER == RELATIVE)
            .map(|(at, bytes)| relative(function.start.wrapping_add(at as u64 + 5), &bytes[1..]))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn calls(code: &[u8], start: u64) -> impl Iterator<Item = (u64, u64)> {
    const OPCODE: u8 = 0xe8;
    code.windows(5).enumerate().filter(|(_, bytes)| bytes[0] == OPCODE).map(move |(at, bytes)| {
        let here = start.wrapping_add(at as u64);
        (here, relative(here.wrapping_add(CALL), &bytes[1..]))
    })
}

fn relative(next: u64, bytes: &[u8]) -> u64 {
    let by = bytes.first_chunk().map_or(0, |by| i32::from_le_bytes(*by));
    next.wrapping_add_signed(i64::from(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_operands_are_relative_to_what_follows() {
        // nop; call +0x10; mov rax, [rip-8]
        let bytes = vec![0x90, 0xe8, 0x10, 0, 0, 0, 0x48, 0x8b, 0x05, 0xf8, 0xff, 0xff, 0xff];
        let code = Code { start: 0x1000, bytes };
        let all = Function { name: "", start: 0x1000, end: 0x100d };
        assert_eq!(code.calls(all).collect::<Vec<_>>(), [(0x1001, 0x1016)]);
        assert!(code.operands(all).contains(&0x1005));
        assert_eq!(code.returns(all), None, "nothing returns");
        let outside = Function { name: "", start: 0xfff, end: 0x1002 };
        assert_eq!(code.of(outside), [0; 0]);
    }

    #[test]
    fn calls_of_values_are_instructions() {
        let calls = |bytes: &[u8]| {
            let all = Function { name: "", start: 0x1000, end: 0x1000 + bytes.len() as u64 };
            Code { start: 0x1000, bytes: bytes.to_vec() }.calls_what_it_is_given(all)
        };
        assert!(calls(&[0x90, 0xff, 0xd1]), "call rcx");
        assert!(calls(&[0xff, 0x12]), "call [rdx]");
        assert!(!calls(&[0xe8, 0x10, 0, 0, 0]), "call +0x10");
        assert!(!calls(&[0x48, 0xc7, 0xc0, 0xff, 0xd1, 0, 0]), "mov rax, 0xd1ff");
        assert!(calls(&[0x48]), "a part of one");
    }

    #[test]
    fn returns_are_instructions() {
        // mov al, 0xc3; ret; mov eax, [rip+0xc3]; ret; int3
        let bytes = vec![0xb0, 0xc3, 0xc3, 0x8b, 0x05, 0xc3, 0, 0, 0, 0xc3, 0xcc];
        let code = Code { start: 0x1000, bytes };
        let all = Function { name: "", start: 0x1000, end: 0x100b };
        assert_eq!(code.returns(all), Some(vec![0x1002, 0x1009]));
        let cut = Function { end: 0x1006, ..all };
        assert_eq!(code.returns(cut), None, "it ends in the middle of an instruction");
    }
}
