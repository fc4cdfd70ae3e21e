//! Which files a process has in its memory, and where: its interpreter, and the module `_queue`.

use std::{
    fs::{self, File},
    ops::Range,
};

use object::{LittleEndian as LE, Object, ObjectSymbol, ReadCache, read::elf::ElfFile64};

/// A part of a file in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) memory: Range<u64>,
    /// Where in the file it begins.
    pub(super) offset: u64,
    pub(super) is_code: bool,
    path: String,
}

/// All parts of files in a process's memory.
#[derive(Debug, Default)]
pub(super) struct Mapped(Vec<Part>);

impl Mapped {
    /// `None` if that cannot be told.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Some(Self::parse(&fs::read_to_string(format!("/proc/{pid}/maps")).ok()?))
    }

    fn parse(maps: &str) -> Self {
        let part = |line: &str| {
            // 00400000-0065c000 r-xp 00000000 fe:00 1234    /path
            let mut words = line.splitn(6, ' ');
            let (range, rights, offset) = (words.next()?, words.next()?, words.next()?);
            let path = words.nth(2)?.trim_start();
            let (from, to) = range.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            path.starts_with('/').then_some(Part {
                memory: number(from)?..number(to)?,
                offset: number(offset)?,
                is_code: rights.contains('x'),
                path: path.to_owned(),
            })
        };
        Self(maps.lines().filter_map(part).collect())
    }

    /// Whether an interpreter is among them: as a program, or as a library of one.
    pub(super) fn runs_python(&self) -> bool {
        self.0.iter().any(|part| is_interpreter(&part.path))
    }

    /// The file of the module `_queue`.
    pub(super) fn queue(&self) -> Option<&str> {
        let is_it = |path: &&str| {
            let name = name(path);
            name.starts_with("_queue.") && name.ends_with(".so")
        };
        self.0.iter().map(|part| part.path.as_str()).find(is_it)
    }

    /// The parts of a file.
    pub(super) fn parts(&self, path: &str) -> Vec<Part> {
        self.0.iter().filter(|part| part.path == path).cloned().collect()
    }

    /// The address of what an interpreter in there exports by that name.
    pub(super) fn symbol(&self, pid: u32, name: &str) -> Option<u64> {
        let begins = |part: &&Part| part.offset == 0 && is_interpreter(&part.path);
        self.0.iter().filter(begins).find_map(|part| {
            let file = File::open(format!("/proc/{pid}/root{}", part.path)).ok()?;
            let cache = ReadCache::new(file);
            let elf = ElfFile64::<LE, _>::parse(&cache).ok()?;
            let symbol = elf.dynamic_symbols().find(|symbol| symbol.name() == Ok(name))?;
            if !symbol.is_definition() {
                return None;
            }
            Some(part.memory.start.wrapping_sub(lowest(&elf)).wrapping_add(symbol.address()))
        })
    }
}

/// The lowest address that a file asks for: where it begins in memory.
pub(super) fn lowest<'a, R: object::ReadRef<'a>>(elf: &ElfFile64<'a, LE, R>) -> u64 {
    use object::{elf::PT_LOAD, read::elf::ProgramHeader as _};
    let loaded = elf.elf_program_headers().iter().filter(|header| header.p_type(LE) == PT_LOAD);
    loaded.map(|header| header.p_vaddr(LE) & !0xfff).min().unwrap_or(0)
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn is_interpreter(path: &str) -> bool {
    let name = name(path);
    name.starts_with("python3") || name.starts_with("libpython3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found() {
        let maps = "\
00400000-0041f000 r--p 00000000 fe:00 1  /usr/bin/python3.11
0041f000-006ae000 r-xp 0001f000 fe:00 1  /usr/bin/python3.11
7f0000000000-7f0000001000 rw-p 00000000 00:00 0 
7f0000002000-7f0000003000 r--p 00000000 fe:00 2  /usr/lib/x y/_queue.cpython-311-x86_64-linux-gnu.so
7ffc00000000-7ffc00001000 rw-p 00000000 00:00 0  [stack]
";
        let mapped = Mapped::parse(maps);
        assert!(mapped.runs_python());
        let queue = mapped.queue().unwrap();
        assert_eq!(queue, "/usr/lib/x y/_queue.cpython-311-x86_64-linux-gnu.so");
        assert_eq!(mapped.parts(queue)[0].memory, 0x7f00_0000_2000..0x7f00_0000_3000);
        assert!(mapped.parts("/usr/bin/python3.11")[1].is_code);
        assert!(!Mapped::parse("00400000-0041f000 r--p 00000000 fe:00 1  /bin/sh").runs_python());
        assert!(Mapped::parse("?\n\n- -").queue().is_none());
    }
}
