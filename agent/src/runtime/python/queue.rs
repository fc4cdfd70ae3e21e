//! The module `_queue`: where `SimpleQueue.put`, `get` and `get_nowait` begin, and where the last two return.
//!
//! Stripped modules have no names for them, but Python has: the table of the type's methods, in the module's data. Where a function ends
//! is told by what unwinds its frames, which every module has. Each of its instructions is decoded; what cannot be gets no probe.

use std::{collections::BTreeSet, fs::File};

use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindSection as _};
use iced_x86::{Code, Decoder, DecoderOptions, OpKind};
use object::{
    LittleEndian as LE, Object, ObjectSection, ReadCache,
    elf::{PF_X, PT_LOAD},
    read::elf::{ElfFile64, ProgramHeader as _},
};

use super::{
    Refusal,
    module::{Part, lowest},
};
use crate::runtime::{
    memory::Memory,
    traps::{Place, Trap},
};

/// Largest part of a module that is read: those that are known have some KiB.
const LARGEST: u64 = 4 << 20;
/// Most functions that one may go over to.
const MOST: usize = 16;
/// `METH_FASTCALL`: arguments come as an array (Include/methodobject.h).
const FAST: u64 = 0x80;
/// A trap, of ours or of others, in a process's code.
const TRAP: u8 = 0xcc;

/// A module's file, and its code.
struct Module {
    /// Address, and place in the file.
    text: (u64, u64),
    code: Vec<u8>,
    /// Where each function begins and ends.
    functions: Vec<(u64, u64)>,
}

/// Where the probes are put into the module with that file, which is in memory in those parts.
pub(super) fn places(file: &File, parts: &[Part], memory: &Memory) -> Result<Vec<Place>, Refusal> {
    let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
    let cache = ReadCache::new(file.try_clone().map_err(unreadable)?);
    let elf =
        ElfFile64::<LE, _>::parse(&cache).map_err(|_| Refusal::Unlike("its module _queue"))?;
    let begin = parts.iter().find(|part| part.offset == 0);
    let begin = begin.ok_or(Refusal::Unlike("where its module _queue begins"))?.memory.start;
    let bias = begin.wrapping_sub(lowest(&elf));
    let module = Module::read(&elf).ok_or(Refusal::Unlike("the parts of its module _queue"))?;
    if !module.is_in(memory, bias) {
        return Err(Refusal::Unlike("its module _queue is not the one of that file"));
    }
    let method = |name| {
        let (address, flags) = method(parts, memory, name)?;
        Some((address.wrapping_sub(bias), flags))
    };
    let no_table = Refusal::Unlike("it has no such methods of queues");
    let (put, how) = method(b"put\0").ok_or(no_table.clone())?;
    let (get, _) = method(b"get\0").ok_or(no_table.clone())?;
    let (get_nowait, _) = method(b"get_nowait\0").ok_or(no_table)?;
    if how & FAST == 0 {
        return Err(Refusal::Unlike("how arguments are given to put"));
    }
    let unlike = Refusal::Unlike("the code of its module _queue");
    let mut found = vec![(Trap::PythonPut, put), (Trap::PythonGet, get)];
    found.push((Trap::PythonGet, get_nowait));
    module.function(put).ok_or(unlike.clone())?;
    let returns = module.returns(&[get, get_nowait]).ok_or(unlike.clone())?;
    found.extend(returns.into_iter().map(|at| (Trap::PythonGot, at)));
    let place = |(trap, address): (Trap, u64)| {
        let skip = address.checked_sub(module.text.0)?;
        (skip < module.code.len() as u64).then_some(Place { trap, offset: module.text.1 + skip })
    };
    found.into_iter().map(place).collect::<Option<_>>().ok_or(unlike)
}

impl Module {
    fn read<'a, R: object::ReadRef<'a>>(elf: &ElfFile64<'a, LE, R>) -> Option<Self> {
        let mut headers = elf.elf_program_headers().iter();
        let text = headers
            .find(|header| header.p_type(LE) == PT_LOAD && header.p_flags(LE) & PF_X != 0)
            .filter(|header| header.p_filesz(LE) <= LARGEST)?;
        let code = text.data(LE, elf.data()).ok()?.to_vec();
        let unwinding = elf.section_by_name(".eh_frame").filter(|it| it.size() <= LARGEST)?;
        let functions = functions(unwinding.data().ok()?, unwinding.address())?;
        Some(Self { text: (text.p_vaddr(LE), text.p_offset(LE)), code, functions })
    }

    /// Whether it is this module's code that the process has there.
    fn is_in(&self, memory: &Memory, bias: u64) -> bool {
        let there = memory.bytes(self.text.0.wrapping_add(bias), self.code.len());
        there.is_some_and(|there| {
            there.iter().zip(&self.code).all(|(there, here)| there == here || *there == TRAP)
        })
    }

    /// The function that begins there.
    fn function(&self, start: u64) -> Option<(u64, u64)> {
        self.functions.iter().copied().find(|function| function.0 == start)
    }

    /// The function, or the part of one, that an address is in.
    fn around(&self, address: u64) -> Option<(u64, u64)> {
        let holds = |function: &(u64, u64)| function.0 <= address && address < function.1;
        self.functions.iter().copied().find(holds)
    }

    /// Where these functions return, or those to which they go over. `None` if there is something in them that is no instruction, or nothing
    /// that returns.
    fn returns(&self, starts: &[u64]) -> Option<BTreeSet<u64>> {
        let begin: Option<Vec<_>> = starts.iter().map(|start| self.function(*start)).collect();
        let (mut open, mut seen) = (begin?, BTreeSet::new());
        let mut found = BTreeSet::new();
        while let Some((start, end)) = open.pop() {
            if !seen.insert(start) {
                continue;
            }
            if seen.len() > MOST {
                return None;
            }
            let at = |address: u64| usize::try_from(address.checked_sub(self.text.0)?).ok();
            let code = self.code.get(at(start)?..at(end)?)?;
            for instruction in Decoder::with_ip(64, code, start, DecoderOptions::NONE) {
                match instruction.code() {
                    Code::INVALID => return None,
                    Code::Retnq => {
                        found.insert(instruction.ip());
                    }
                    // What is called comes back.
                    Code::Call_rel32_64 => {}
                    _ if instruction.op0_kind() == OpKind::NearBranch64 => {
                        let target = instruction.near_branch_target();
                        if !(start..end).contains(&target) {
                            open.extend(self.around(target));
                        }
                    }
                    _ => {}
                }
            }
        }
        (!found.is_empty()).then_some(found)
    }
}

/// Where functions begin and end, by what unwinds their frames.
fn functions(unwinding: &[u8], address: u64) -> Option<Vec<(u64, u64)>> {
    let section = EhFrame::new(unwinding, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(address);
    let mut entries = section.entries(&bases);
    let mut found = Vec::new();
    while let Some(entry) = entries.next().ok()? {
        if let CieOrFde::Fde(partial) = entry {
            let entry = partial.parse(EhFrame::cie_from_offset).ok()?;
            let start = entry.initial_address();
            found.push((start, start.wrapping_add(entry.len())));
        }
    }
    Some(found)
}

/// What a module's tables of methods (`PyMethodDef`: name, function, flags, text) say of one of that name, which must be the only one:
/// where it is in memory, and its flags.
fn method(parts: &[Part], memory: &Memory, name: &[u8]) -> Option<(u64, u64)> {
    const FLAGS: u64 = 0xffff_ffff;
    let is_code =
        |address: &u64| parts.iter().any(|part| part.is_code && part.memory.contains(address));
    let is_its = |address: &u64| parts.iter().any(|part| part.memory.contains(address));
    let mut found = BTreeSet::new();
    for part in parts.iter().filter(|part| !part.is_code) {
        let length = (part.memory.end - part.memory.start).min(LARGEST);
        let words = memory.words(part.memory.start, usize::try_from(length / 8).ok()?)?;
        for row in words.windows(3) {
            if is_code(&row[1])
                && is_its(&row[0])
                && memory.bytes(row[0], name.len()).is_some_and(|text| text == name)
            {
                found.insert((row[1], row[2] & FLAGS));
            }
        }
    }
    let only = found.len() == 1;
    found.pop_first().filter(|_| only)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(code: &[u8], functions: &[(u64, u64)]) -> Module {
        Module { text: (0x1000, 0), code: code.to_vec(), functions: functions.to_vec() }
    }

    #[test]
    fn returns_are_found_where_a_function_goes_over_to_another() {
        // ret; | jmp 0x1000; | nop; ret; | je 0x1003; ret
        let code = [0xc3, 0xeb, 0xfd, 0x90, 0xc3, 0x74, 0xfc, 0xc3];
        let functions = [(0x1000, 0x1001), (0x1001, 0x1003), (0x1003, 0x1005), (0x1005, 0x1008)];
        let of = |starts: &[u64]| {
            module(&code, &functions).returns(starts).map(|found| found.into_iter().collect())
        };
        assert_eq!(of(&[0x1001]), Some(vec![0x1000]));
        assert_eq!(of(&[0x1005]), Some(vec![0x1004, 0x1007]));
        assert_eq!(of(&[0x1001, 0x1005]), Some(vec![0x1000, 0x1004, 0x1007]));
        assert_eq!(of(&[0x1002]), None, "no function begins there");
        let cut = [(0x1000, 0x1001), (0x1001, 0x1002)];
        assert_eq!(module(&code, &cut).returns(&[0x1001]), None, "it ends in an instruction");
    }

    #[test]
    fn any_bytes_may_unwind() {
        assert_eq!(functions(&[], 0x1000), Some(vec![]));
        for length in 1..64 {
            let bytes: Vec<u8> = (0..length).map(|at: u8| at.wrapping_mul(37)).collect();
            let _ = functions(&bytes, 0x1000);
        }
    }
}
