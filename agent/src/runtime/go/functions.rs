//! The table of functions that every Go program carries, stripped or not (`runtime.pclntab`, Go 1.18 and later): where each
//! begins, and its name.
//!
//! Any bytes may be given; none panic.

/// `abi.Go118PCLnTabMagic` and `abi.Go120PCLnTabMagic`, of which later versions have the second.
pub(super) const MAGICS: [u32; 2] = [0xffff_fff0, 0xffff_fff1];
/// Most functions of one program: a table that says more is damaged.
const MOST: usize = 4 << 20;

/// The functions of a program, in order of address.
#[derive(Debug)]
pub(super) struct Functions {
    /// Where each begins, and where in `names` its name is; the last one is where the text ends.
    starts: Vec<(u64, u32)>,
    names: Vec<u8>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Functions {
    /// Reads a table, for a text that begins at that address; `None` if it is damaged or of another version.
    pub(super) fn of(table: &[u8], text: u64) -> Option<Self> {
        // struct pcHeader: magic, 2 pad bytes, minLC, ptrSize, nfunc, nfiles, textStart, then offsets of the parts.
        let word = |at: usize| Some(u64::from_le_bytes(*table.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u32::from_le_bytes(*table.get(at..)?.first_chunk()?));
        if !MAGICS.contains(&half(0)?) || table.get(7) != Some(&8) {
            return None;
        }
        let count = usize::try_from(word(8)?).ok().filter(|count| *count <= MOST)?;
        let (names, files) = (usize::try_from(word(32)?).ok()?, usize::try_from(word(40)?).ok()?);
        let entries = usize::try_from(word(64)?).ok()?;
        let mut starts = Vec::with_capacity(count + 1);
        for i in 0..count {
            let at = entries.checked_add(8 * i)?;
            let (start, function) = (half(at)?, half(at + 4)?);
            // struct _func: entryOff, nameOff.
            let name = half(entries.checked_add(function as usize)?.checked_add(4)?)?;
            starts.push((text.wrapping_add(u64::from(start)), name));
        }
        let end = half(entries.checked_add(8 * count)?)?;
        starts.push((text.wrapping_add(u64::from(end)), 0));
        starts.is_sorted().then_some(())?;
        Some(Self { starts, names: table.get(names..files)?.to_vec() })
    }

    /// Where the text ends.
    pub(super) fn end(&self) -> u64 {
        self.starts.last().map_or(0, |(start, _)| *start)
    }

    /// All, in order of address.
    pub(super) fn iter(&self) -> impl Iterator<Item = Function<'_>> {
        self.starts.windows(2).map(|pair| self.function(pair[0], pair[1].0))
    }

    /// The one that an address belongs to.
    pub(super) fn at(&self, address: u64) -> Option<Function<'_>> {
        let next = self.starts.partition_point(|(start, _)| *start <= address);
        let (this, next) = (*self.starts.get(next.checked_sub(1)?)?, *self.starts.get(next)?);
        Some(self.function(this, next.0))
    }

    /// The one of that name.
    pub(super) fn named(&self, name: &str) -> Option<Function<'_>> {
        self.iter().find(|function| function.name == name)
    }

    fn function(&self, (start, name): (u64, u32), end: u64) -> Function<'_> {
        let name = self.names.get(name as usize..).unwrap_or_default();
        let length = name.iter().position(|byte| *byte == 0).unwrap_or(0);
        Function { name: std::str::from_utf8(&name[..length]).unwrap_or_default(), start, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A table of `main.a` (16 bytes) and `main.b` (32 bytes).
    fn table() -> Vec<u8> {
        let names = b"\0main.a\0main.b\0";
        let (names_at, entries) = (72_u64, 72 + names.len() as u64);
        let mut bytes = 0xffff_fff1_u32.to_le_bytes().to_vec();
        bytes.extend([0, 0, 1, 8]);
        for word in [2, 1, 0, names_at, entries, entries, entries, entries] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(names);
        for half in [0_u32, 20, 16, 28, 48, 0, 1, 0, 8, 0] {
            bytes.extend(half.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn functions_have_names_and_ends() {
        let functions = Functions::of(&table(), 0x1000).unwrap();
        let all: Vec<_> = functions.iter().map(|f| (f.name, f.start, f.end)).collect();
        assert_eq!(functions.end(), 0x1030);
        assert_eq!(
            all.iter().map(|f| (f.1, f.2)).collect::<Vec<_>>(),
            [(0x1000, 0x1010), (0x1010, 0x1030)]
        );
        assert_eq!(functions.at(0x100f).map(|f| f.start), Some(0x1000));
        assert_eq!(functions.at(0x1010).map(|f| f.start), Some(0x1010));
        assert_eq!((functions.at(0xfff), functions.at(0x1030)), (None, None));
    }

    proptest! {
        #[test]
        fn no_damage_panics(at in 0_usize..120, by in 1_u8.., cut in 0_usize..140) {
            let mut bytes = table();
            let len = bytes.len();
            bytes[at % len] ^= by;
            bytes.truncate(cut);
            if let Some(functions) = Functions::of(&bytes, 0) {
                prop_assert!(functions.iter().count() < 140);
            }
        }
    }
}
