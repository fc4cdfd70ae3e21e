//! Where members lie in a program's structs by its own debugging information (DWARF), where it has any: true of whatever compiler
//! made it, of releases that no table knows too.
//!
//! Go's linker describes all types in the last unit of the package `runtime`, each by its full name (cmd/link/internal/ld/dwarf.go), so
//! that only such units are walked through. A stranger wrote it: what is damaged says nothing, and what is huge is not read.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::Read as _,
};

use flate2::read::ZlibDecoder;
use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugInfo, DebuggingInformationEntry, EndianSlice,
    LittleEndian, UnitHeader, constants,
};
use object::{CompressionFormat, Object as _, ObjectSection, ReadCache};

use super::binary::Elf;

/// Largest section that is read, bytes: that of the largest programs has some 40 MiB.
const LARGEST: u64 = 64 << 20;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// A member of a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    offset: u64,
    is_pointer: bool,
}

/// Members of the structs that were asked for, by `package.Type.member`.
#[derive(Debug, Default)]
pub(super) struct Members(HashMap<String, Member>);

impl Members {
    /// Reads the structs with these names out of a program's file. `None` if it tells nothing of them.
    pub(super) fn read(file: &File, structs: &HashSet<String>) -> Option<Self> {
        let cache = ReadCache::new(file.try_clone().ok()?);
        let elf = Elf::parse(&cache).ok()?;
        // Packed they had names of their own before Go 1.19.
        let section =
            |names: [&str; 2]| plain(&names.iter().find_map(|name| elf.section_by_name(name))?);
        let info = section([".debug_info", ".zdebug_info"])?;
        let abbreviations = section([".debug_abbrev", ".zdebug_abbrev"])?;
        Self::of(&info, &abbreviations, structs)
    }

    fn of(info: &[u8], abbreviations: &[u8], structs: &HashSet<String>) -> Option<Self> {
        let info = DebugInfo::new(info, LittleEndian);
        let all = DebugAbbrev::new(abbreviations, LittleEndian);
        let mut found = Self::default();
        let mut units = info.units();
        // One after the other, because only their headers say where the next one is.
        while let Some(unit) = units.next().ok()? {
            let abbreviations = unit.abbreviations(&all).ok()?;
            if is_of_the_runtime(&unit, &abbreviations) {
                found.walk(&unit, &abbreviations, structs)?;
            }
        }
        (!found.0.is_empty()).then_some(found)
    }

    /// The offset of a member; with a star before its name 1 where it is a pointer, else 0. As the tables have them.
    pub(super) fn at(&self, column: &str) -> Option<u64> {
        match column.strip_prefix('*') {
            Some(name) => self.0.get(name).map(|member| u64::from(member.is_pointer)),
            None => self.0.get(column).map(|member| member.offset),
        }
    }

    /// The same of a column without its package.
    pub(super) fn at_in(&self, package: &str, column: &str) -> Option<u64> {
        self.at(&within(package, column))
    }

    /// Takes the members of those structs in a unit.
    fn walk(
        &mut self,
        unit: &UnitHeader<Bytes<'_>>,
        abbreviations: &Abbreviations,
        structs: &HashSet<String>,
    ) -> Option<()> {
        /// Below the unit's own entry.
        const TYPES: isize = 1;
        const MEMBERS: isize = 2;
        let mut entries = unit.entries(abbreviations);
        let mut inside = None;
        while let Some(entry) = entries.next_dfs().ok()? {
            match (entry.depth(), entry.tag()) {
                (TYPES, constants::DW_TAG_structure_type) => {
                    inside = name(entry).filter(|name| structs.contains(*name));
                }
                (TYPES, _) => inside = None,
                (MEMBERS, constants::DW_TAG_member) => {
                    let Some(kind) = inside else { continue };
                    let (Some(member), Some(offset)) = (
                        name(entry),
                        entry.attr(constants::DW_AT_data_member_location)?.udata_value(),
                    ) else {
                        continue;
                    };
                    let is_pointer = points(entry, unit, abbreviations).unwrap_or(false);
                    self.0.insert(format!("{kind}.{member}"), Member { offset, is_pointer });
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// A column of a table with the package, which ends in a dot, that its struct is of.
pub(super) fn within(package: &str, column: &str) -> String {
    match column.strip_prefix('*') {
        Some(name) => format!("*{package}{name}"),
        None => format!("{package}{column}"),
    }
}

/// The struct that a column is about.
pub(super) fn struct_of(column: &str) -> String {
    let name = column.strip_prefix('*').unwrap_or(column);
    name.rsplit_once('.').map_or(name, |(kind, _)| kind).to_owned()
}

fn is_of_the_runtime(unit: &UnitHeader<Bytes<'_>>, abbreviations: &Abbreviations) -> bool {
    let mut entries = unit.entries(abbreviations);
    entries.next_dfs().ok().flatten().and_then(name) == Some("runtime")
}

/// Go writes names in place.
fn name<'a>(entry: &DebuggingInformationEntry<Bytes<'a>>) -> Option<&'a str> {
    match entry.attr_value(constants::DW_AT_name)? {
        AttributeValue::String(name) => std::str::from_utf8(name.slice()).ok(),
        _ => None,
    }
}

/// Whether a member is a pointer.
fn points(
    member: &DebuggingInformationEntry<Bytes<'_>>,
    unit: &UnitHeader<Bytes<'_>>,
    abbreviations: &Abbreviations,
) -> Option<bool> {
    let at = match member.attr_value(constants::DW_AT_type)? {
        AttributeValue::DebugInfoRef(at) => at.to_unit_offset(unit)?,
        AttributeValue::UnitRef(at) => at,
        _ => return None,
    };
    Some(unit.entry(abbreviations, at).ok()?.tag() == constants::DW_TAG_pointer_type)
}

/// A section's bytes: Go packs them, with zlib.
fn plain<'data>(section: &impl ObjectSection<'data>) -> Option<Vec<u8>> {
    let packed = section.compressed_data().ok()?;
    let mut bytes = Vec::new();
    match packed.format {
        CompressionFormat::None if packed.data.len() as u64 <= LARGEST => {
            bytes.extend_from_slice(packed.data);
        }
        CompressionFormat::Zlib if packed.uncompressed_size <= LARGEST => {
            ZlibDecoder::new(packed.data).take(LARGEST).read_to_end(&mut bytes).ok()?;
        }
        _ => return None,
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A unit of the package `runtime` (DWARF 4, 32 bits): the struct `runtime.g` with `m *m` at 48 and `goid uint64` at 152.
    fn unit() -> (Vec<u8>, Vec<u8>) {
        // Code, tag, has children, then attributes and forms, up to two zeros.
        let abbreviations = [
            &[1, 0x11, 1, 0x03, 0x08, 0, 0][..], // a unit: its name in place
            &[2, 0x13, 1, 0x03, 0x08, 0, 0],     // a struct
            &[3, 0x0d, 0, 0x03, 0x08, 0x38, 0x0f, 0x49, 0x10, 0, 0], // a member: udata, a reference
            &[4, 0x0f, 0, 0x03, 0x08, 0, 0],     // a pointer
            &[5, 0x24, 0, 0x03, 0x08, 0, 0],     // a base type
            &[0],
        ]
        .concat();
        // Entries begin behind the header's 11 bytes.
        let mut entries = b"\x01runtime\0".to_vec();
        let pointer = 11 + entries.len() as u32;
        entries.extend(b"\x04*runtime.m\0");
        let number = 11 + entries.len() as u32;
        entries.extend(b"\x05uint64\0");
        entries.extend(b"\x02runtime.g\0");
        for (name, offset, kind) in [("m", [48].as_slice(), pointer), ("goid", &[0x98, 1], number)]
        {
            entries.push(3);
            entries.extend(name.as_bytes());
            entries.push(0);
            entries.extend(offset);
            entries.extend(kind.to_le_bytes());
        }
        entries.extend(b"\0\0");
        let mut info = (7 + entries.len() as u32).to_le_bytes().to_vec();
        info.extend([4, 0, 0, 0, 0, 0, 8]);
        info.extend(entries);
        (info, abbreviations)
    }

    #[test]
    fn columns_name_structs() {
        assert_eq!(within("p/q.", "*S.m"), "*p/q.S.m");
        assert_eq!(
            (struct_of("*p/q.S.m"), struct_of("p.S.m")),
            ("p/q.S".to_owned(), "p.S".to_owned())
        );
    }

    #[test]
    fn members_are_found_by_their_full_names() {
        let (info, abbreviations) = unit();
        let members =
            Members::of(&info, &abbreviations, &HashSet::from(["runtime.g".to_owned()])).unwrap();
        let at = |column| members.at(column);
        assert_eq!((at("runtime.g.goid"), at("runtime.g.m")), (Some(152), Some(48)));
        assert_eq!((at("*runtime.g.goid"), at("*runtime.g.m")), (Some(0), Some(1)));
        assert_eq!((at("runtime.g.parentGoid"), at("runtime.m.curg")), (None, None));
        assert!(
            Members::of(&info, &abbreviations, &HashSet::from(["runtime.m".to_owned()])).is_none()
        );
    }

    proptest! {
        #[test]
        fn no_damage_panics(at in 0_usize..200, by in 1_u8.., cut in 0_usize..200) {
            let (mut info, mut abbreviations) = unit();
            let bytes = if at < info.len() { &mut info } else { &mut abbreviations };
            let len = bytes.len();
            bytes[at % len] ^= by;
            bytes.truncate(cut);
            if let Some(members) = Members::of(&info, &abbreviations, &HashSet::from(["runtime.g".to_owned()])) {
                prop_assert!(members.0.len() <= 2);
            }
        }
    }
}
