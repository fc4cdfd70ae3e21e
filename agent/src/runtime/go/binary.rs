//! A Go program's file (ELF): which Go made it, and where its parts are, whether it is stripped, position-independent or
//! linked by another linker.

use std::{collections::HashSet, fs::File, os::unix::fs::FileExt};

use object::{
    LittleEndian as LE, Object, ObjectSection, ObjectSymbol, ReadCache,
    elf::{PF_W, PF_X, PT_LOAD, PT_TLS},
    read::elf::{ElfFile64, ProgramHeader},
};

use super::{Refusal, Version, code::Code, dwarf::Members, functions::MAGICS};

/// What the build information begins with (debug/buildinfo).
const INFORMATION: &[u8] = b"\xff Go buildinf:";
/// Most build information that is read: a line for each module.
const LONGEST_INFORMATION: u64 = 1 << 20;
/// Largest part of a file that is read: the text of the largest programs has some 100 MiB.
const LARGEST: u64 = 1 << 30;

/// A program's file.
pub(super) struct Binary {
    file: File,
    /// What the linker wrote of the version,
    pub(super) version: Version,
    /// and of the modules that it is made of: a line for each.
    modules: String,
    /// The lowest address it is loaded to.
    pub(super) lowest: u64,
    /// Address of the table of functions, and its part of the file.
    pub(super) functions_at: u64,
    functions: (u64, u64),
    /// Where the goroutine's record is named, from the base of the thread's storage.
    pub(super) tls: Option<i64>,
    /// Loaded parts with code: address, place in the file, length.
    text: Vec<(u64, u64, u64)>,
}

impl Binary {
    /// Reads what little is needed of a file.
    pub(super) fn read(file: File) -> Result<Self, Refusal> {
        let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
        let cache = ReadCache::new(file.try_clone().map_err(unreadable)?);
        let elf = ElfFile64::<LE, _>::parse(&cache).map_err(|_| Refusal::NotGo)?;
        let segments = || {
            let headers = elf.elf_program_headers().iter();
            headers.filter(|header| header.p_type(LE) == PT_LOAD)
        };
        let (version, modules) = information(&elf, &file).ok_or(Refusal::NotGo)?;
        let lowest = segments().map(|header| header.p_vaddr(LE)).min().unwrap_or(0);
        let text = segments()
            .filter(|header| header.p_flags(LE) & PF_X != 0)
            .map(|header| (header.p_vaddr(LE), header.p_offset(LE), header.p_filesz(LE)))
            .collect();
        let (functions_at, functions) =
            function_table(&elf, &file).ok_or(Refusal::Unlike("no table of functions"))?;
        let tls = tls(&elf);
        Ok(Self { version, modules, lowest, functions_at, functions, tls, text, file })
    }

    /// The version of a module that it is made of, as it is written (`v1.76.0`); `None` where it is another one in its place.
    pub(super) fn module(&self, path: &str) -> Option<&str> {
        module(&self.modules, path)
    }

    /// The paths of the modules that were built from sources at hand: the program's own, and those of a workspace.
    pub(super) fn own_modules(&self) -> Vec<&str> {
        own_modules(&self.modules)
    }

    /// Where in the file the code is that is loaded to an address.
    pub(super) fn place(&self, address: u64) -> Option<u64> {
        let part_of = |(start, offset, length): &(u64, u64, u64)| {
            let skip = address.checked_sub(*start).filter(|skip| skip < length)?;
            Some(offset + skip)
        };
        self.text.iter().find_map(part_of)
    }

    /// What its debugging information tells of the structs with these names, if it has any.
    pub(super) fn members(&self, structs: &HashSet<String>) -> Option<Members> {
        Members::read(&self.file, structs)
    }

    /// The table of functions.
    pub(super) fn function_table(&self) -> Result<Vec<u8>, Refusal> {
        part(&self.file, self.functions.0, self.functions.1)
    }

    /// The code between two addresses.
    pub(super) fn code(&self, start: u64, end: u64) -> Result<Code, Refusal> {
        let part_of = |(address, offset, length): &(u64, u64, u64)| {
            let skip = start.checked_sub(*address).filter(|skip| skip < length)?;
            Some((offset + skip, (length - skip).min(end.checked_sub(start)?)))
        };
        let (offset, length) = self
            .text
            .iter()
            .find_map(part_of)
            .ok_or(Refusal::Unlike("its text is not where its module data says"))?;
        Ok(Code { start, bytes: part(&self.file, offset, length)? })
    }
}

fn part(file: &File, offset: u64, length: u64) -> Result<Vec<u8>, Refusal> {
    let length = usize::try_from(length.min(LARGEST)).unwrap_or(0);
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|error| Refusal::Unreadable(error.to_string()))?;
    Ok(bytes)
}

pub(super) type Elf<'a> = ElfFile64<'a, LE, &'a ReadCache<File>>;

/// The version and the modules in the build information: since 1.18 two texts, each behind its length, after 32 bytes.
fn information(elf: &Elf<'_>, file: &File) -> Option<(Version, String)> {
    /// Bit of the flags (byte 15): texts are in place.
    const IN_PLACE: u8 = 2;
    let (offset, length) = match elf.section_by_name(".go.buildinfo") {
        Some(section) => section.file_range()?,
        // Without section headers: it is at the beginning of what is written to.
        None => elf
            .elf_program_headers()
            .iter()
            .find(|header| header.p_type(LE) == PT_LOAD && header.p_flags(LE) & PF_W != 0)
            .map(|header| (header.p_offset(LE), header.p_filesz(LE)))?,
    };
    let bytes = part(file, offset, length.min(LONGEST_INFORMATION)).ok()?;
    if !bytes.starts_with(INFORMATION) || bytes.get(15)? & IN_PLACE == 0 {
        return None;
    }
    let (version, rest) = text(bytes.get(32..)?)?;
    let version = Version::parse(std::str::from_utf8(version).ok()?)?;
    let modules = text(rest)
        .map_or_else(String::new, |(modules, _)| String::from_utf8_lossy(modules).into_owned());
    Some((version, modules))
}

/// A text behind its length (LEB128), and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0usize;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return bytes.get(i + 1..)?.split_at_checked(length);
        }
    }
    None
}

/// The version of a module, in lines as `go version -m` prints them: `dep`, path, version and checksum, with tabs between. A line
/// that begins with an arrow says what is there instead of the one before.
fn own_modules(modules: &str) -> Vec<&str> {
    /// The version of what was built from where it lies (cmd/go; the main module may have another one since 1.24).
    const AT_HAND: &str = "(devel)";
    let lines = modules.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    lines
        .filter_map(|words| match words.as_slice() {
            ["mod", path, ..] => Some(*path),
            ["dep", path, version, ..] if *version == AT_HAND => Some(*path),
            _ => None,
        })
        .collect()
}

fn module<'a>(modules: &'a str, path: &str) -> Option<&'a str> {
    let mut lines = modules.lines().map(|line| line.split('\t'));
    let mut found = lines
        .find(|line| {
            let mut words = line.clone();
            words.next() == Some("dep") && words.next() == Some(path)
        })?
        .skip(2);
    let instead = lines.next().is_some_and(|mut line| line.next() == Some("=>"));
    found.next().filter(|_| !instead)
}

/// Where the table of functions is: its address, and its place in the file.
fn function_table(elf: &Elf<'_>, file: &File) -> Option<(u64, (u64, u64))> {
    // Position-independent programs have it where it can be relocated.
    let section = [".gopclntab", ".data.rel.ro.gopclntab"]
        .iter()
        .find_map(|name| elf.section_by_name(name))?;
    let range = section.file_range()?;
    let magic = part(file, range.0, 4).ok()?;
    let magic = u32::from_le_bytes(magic.try_into().ok()?);
    MAGICS.contains(&magic).then_some((section.address(), range))
}

/// Where, from the thread's base on, the address of the goroutine's record is: in the block of the program's own thread-local
/// variables, which lies below the base (ELF TLS variant II).
fn tls(elf: &Elf<'_>) -> Option<i64> {
    /// A pointer.
    const ONLY: u64 = 8;
    let mut headers = elf.elf_program_headers().iter();
    let Some(header) = headers.find(|header| header.p_type(LE) == PT_TLS) else {
        // Of Go's own linker, without any other.
        return Some(-8);
    };
    let (size, align) = (header.p_memsz(LE), header.p_align(LE).max(1));
    let block = i64::try_from(size.checked_next_multiple_of(align)?).ok()?;
    if size == ONLY {
        return Some(-block);
    }
    // Others have variables there, too: then only its name tells, which a stripped program does not have.
    let symbol = elf.symbols().find(|symbol| symbol.name() == Ok("runtime.tlsg"))?;
    Some(i64::try_from(symbol.address()).ok()? - block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_versions_unless_others_are_in_their_place() {
        let modules = "path\tshop\nmod\tshop\t(devel)\t\n\
                       dep\tgolang.org/x/net\tv0.42.0\th1:a=\n\
                       dep\tgoogle.golang.org/grpc\tv1.76.0\th1:b=\n\
                       dep\texample.com/forked\tv1.0.0\n=>\t../forked\t(devel)\t\n";
        assert_eq!(module(modules, "google.golang.org/grpc"), Some("v1.76.0"));
        assert_eq!(module(modules, "example.com/forked"), None);
        assert_eq!(module(modules, "google.golang.org"), None);
        assert_eq!(own_modules(modules), ["shop"]);
        // Built from single files.
        let modules = "path\tcommand-line-arguments\ndep\tshop\t(devel)\t\ndep\tgolang.org/x/net\tv0.42.0\th1:a=\n";
        assert_eq!(own_modules(modules), ["shop"]);
    }

    #[test]
    fn texts_are_as_long_as_they_say() {
        assert_eq!(text(b"\x02abc"), Some((b"ab".as_slice(), b"c".as_slice())));
        let long = [&[0x80, 1][..], &[b'x'; 128]].concat();
        assert_eq!(text(&long).map(|(text, rest)| (text.len(), rest.len())), Some((128, 0)));
        assert_eq!(text(b"\x05ab"), None);
        assert_eq!(text(&[0xff; 8]), None);
    }
}
