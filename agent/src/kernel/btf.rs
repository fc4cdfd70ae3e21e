//! The kernel's own type information (BTF, Documentation/bpf/btf.rst): where members lie, which tracepoints exist.
//!
//! The probes are built without kernel headers and without CO-RE; these offsets are what makes one object fit every
//! kernel. Bytes in, answers out; a damaged table gives an error, never a panic.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use thiserror::Error;

/// A parsed table.
pub struct KernelTypes {
    bytes: Vec<u8>,
    strings: usize,
    types: Vec<Type>,
    /// Structs, tracepoints, and functions of the kernel's BPF part.
    by_name: HashMap<(u8, String), u32>,
}

/// Why a table cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the kernel's type information (BTF) is damaged at byte {0}")]
pub struct Damaged(usize);

#[derive(Clone, Copy)]
struct Type {
    /// Where its members begin.
    members: usize,
    info: u32,
    /// Size, or the type it refers to.
    target: u32,
}

mod kind {
    pub(super) const INT: u8 = 1;
    pub(super) const PTR: u8 = 2;
    pub(super) const ARRAY: u8 = 3;
    pub(super) const STRUCT: u8 = 4;
    pub(super) const UNION: u8 = 5;
    pub(super) const ENUM: u8 = 6;
    pub(super) const TYPEDEF: u8 = 8;
    pub(super) const VOLATILE: u8 = 9;
    pub(super) const CONST: u8 = 10;
    pub(super) const RESTRICT: u8 = 11;
    pub(super) const FUNC: u8 = 12;
    pub(super) const FUNC_PROTO: u8 = 13;
    pub(super) const VAR: u8 = 14;
    pub(super) const DATASEC: u8 = 15;
    pub(super) const DECL_TAG: u8 = 17;
    pub(super) const TYPE_TAG: u8 = 18;
    pub(super) const ENUM64: u8 = 19;
}

/// What the type of each tracepoint begins with.
const TRACEPOINT: &str = "btf_trace_";
/// What the functions begin with that programs may call.
const FUNCTION: &str = "bpf_";

impl Type {
    fn kind(&self) -> u8 {
        ((self.info >> 24) & 0x1f) as u8
    }

    fn len(&self) -> usize {
        (self.info & 0xffff) as usize
    }
}

impl KernelTypes {
    /// Parses a table, such as the file `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    ///
    /// [`Damaged`] when a length or a name leads out of the bytes.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Damaged> {
        const MAGIC: u32 = 0xeb9f;
        if word(&bytes, 0)? & 0xffff != MAGIC {
            return Err(Damaged(0));
        }
        let header = word(&bytes, 4)? as usize;
        let start = header + word(&bytes, 8)? as usize;
        let end = start + word(&bytes, 12)? as usize;
        let strings = header + word(&bytes, 16)? as usize;
        let mut this = Self { bytes, strings, types: Vec::new(), by_name: HashMap::new() };
        // Type 0 is void.
        this.types.push(Type { members: 0, info: 0, target: 0 });
        let mut at = start;
        while at < end {
            let (name, info, target) =
                (word(&this.bytes, at)?, word(&this.bytes, at + 4)?, word(&this.bytes, at + 8)?);
            let this_type = Type { members: at + 12, info, target };
            let id = u32::try_from(this.types.len()).map_err(|_| Damaged(at))?;
            if name != 0 {
                let name = this.string(name).ok_or(Damaged(at))?;
                // A kernel has a hundred thousand names, and these are all that is ever asked for.
                let asked_for = match this_type.kind() {
                    kind::STRUCT => true,
                    kind::TYPEDEF => name.starts_with(TRACEPOINT),
                    kind::FUNC => name.starts_with(FUNCTION),
                    _ => false,
                };
                if asked_for {
                    let name = name.to_owned();
                    this.by_name.entry((this_type.kind(), name)).or_insert(id);
                }
            }
            this.types.push(this_type);
            at += 12
                + match this_type.kind() {
                    kind::INT | kind::VAR | kind::DECL_TAG => 4,
                    kind::ARRAY => 12,
                    kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => {
                        12 * this_type.len()
                    }
                    kind::ENUM | kind::FUNC_PROTO => 8 * this_type.len(),
                    _ => 0,
                };
        }
        Ok(this)
    }

    /// Whether the kernel has this tracepoint for BTF programs.
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.by_name.contains_key(&(kind::TYPEDEF, format!("{TRACEPOINT}{name}")))
    }

    /// What a tracepoint tells its programs: how many words. `None` if this kernel has no such tracepoint.
    #[must_use]
    pub fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let of = |id: u32, kind: u8| self.types.get(id as usize).filter(|this| this.kind() == kind);
        let id = *self.by_name.get(&(kind::TYPEDEF, format!("{TRACEPOINT}{name}")))?;
        let pointer = of(of(id, kind::TYPEDEF)?.target, kind::PTR)?;
        // The first is the kernel's own.
        of(pointer.target, kind::FUNC_PROTO)?.len().checked_sub(1)
    }

    /// The number of a function of the kernel's BPF part (`bpf_…`), by which programs may call it; `None` if this kernel has
    /// none of that name.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        self.by_name.get(&(kind::FUNC, name.to_owned())).copied()
    }

    /// Whether the kernel has such a function.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.function(name).is_some()
    }

    /// Whether an enumeration of the kernel has a value of that name. Looks through all of them.
    #[must_use]
    pub fn has_enumerator(&self, name: &str) -> bool {
        self.types.iter().filter(|this| this.kind() == kind::ENUM).any(|this| {
            (0..this.len()).any(|i| {
                let value = word(&self.bytes, this.members + 8 * i).ok();
                value.and_then(|value| self.string(value)) == Some(name)
            })
        })
    }

    /// The number of a struct; `None` if this kernel has none of that name.
    #[must_use]
    pub fn structure(&self, name: &str) -> Option<u32> {
        self.by_name.get(&(kind::STRUCT, name.to_owned())).copied()
    }

    /// Byte offset of a member of a struct, through anonymous structs and unions; `path` may lead into members of
    /// members by dots. `None` if this kernel has no such member.
    #[must_use]
    pub fn member(&self, of: &str, path: &str) -> Option<u32> {
        let mut id = self.structure(of)?;
        let mut offset = 0;
        for name in path.split('.') {
            let (at, inner) = self.find(self.plain(id)?, name, 0)?;
            offset += at;
            id = inner;
        }
        Some(offset)
    }

    fn find(&self, id: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        // No kernel struct nests anonymous members this deep; a damaged table may refer to itself.
        if depth > 16 {
            return None;
        }
        let of = self.types.get(id as usize)?;
        if !matches!(of.kind(), kind::STRUCT | kind::UNION) {
            return None;
        }
        let bit_fields = of.info >> 31 != 0;
        for i in 0..of.len() {
            let at = of.members + 12 * i;
            let (member, inner, bits) = (
                word(&self.bytes, at).ok()?,
                word(&self.bytes, at + 4).ok()?,
                word(&self.bytes, at + 8).ok()?,
            );
            let offset = if bit_fields { bits & 0x00ff_ffff } else { bits } / 8;
            if member == 0 {
                if let Some((deeper, found)) = self.find(self.plain(inner)?, name, depth + 1) {
                    return Some((offset + deeper, found));
                }
            } else if self.string(member)? == name {
                return Some((offset, inner));
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn plain(&self, mut id: u32) -> Option<u32> {
        for _ in 0..64 {
            let this = self.types.get(id as usize)?;
            match this.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = this.target;
                }
                _ => return Some(id),
            }
        }
        None
    }

    fn string(&self, offset: u32) -> Option<&str> {
        let rest = self.bytes.get(self.strings.checked_add(offset as usize)?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Damaged> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Damaged(at))?;
    Ok(u32::from_ne_bytes(*four))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct outer { u32 a; union { u32 b; struct inner { u32 c; } named; }; }` and a tracepoint.
    fn table() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0inner\0c\0named\0btf_trace_x\0u32\0bpf_f\0";
        let name = |n: &str| {
            let needle = format!("\0{n}\0");
            strings.windows(needle.len()).position(|w| w == needle.as_bytes()).unwrap() as u32 + 1
        };
        let structure = |k: u8, n: u32| u32::from(k) << 24 | n;
        #[rustfmt::skip]
        let types: Vec<u32> = vec![
            name("u32"), structure(kind::INT, 0), 4, 32,
            name("inner"), structure(kind::STRUCT, 1), 4, name("c"), 1, 0,
            0, structure(kind::UNION, 2), 4, name("b"), 1, 0, name("named"), 2, 0,
            name("outer"), structure(kind::STRUCT, 2), 8, name("a"), 1, 0, 0, 3, 32,
            name("btf_trace_x"), structure(kind::TYPEDEF, 0), 8,
            name("bpf_f"), structure(kind::FUNC, 0), 1,
            0, structure(kind::ENUM, 2), 4, name("a"), 0, name("named"), 1,
            0, structure(kind::PTR, 0), 9,
            0, structure(kind::FUNC_PROTO, 3), 0, 0, 8, 0, 1, 0, 1,
        ];
        let len = u32::try_from(types.len() * 4).unwrap();
        let mut bytes = Vec::new();
        for word in [0x0001_eb9f, 24, 0, len, len, u32::try_from(strings.len()).unwrap()]
            .iter()
            .chain(&types)
        {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_are_found_through_anonymous_ones() {
        let types = KernelTypes::parse(table()).unwrap();
        assert_eq!(types.member("outer", "a"), Some(0));
        assert_eq!(types.member("outer", "b"), Some(4));
        assert_eq!(types.member("outer", "named.c"), Some(4));
        assert_eq!(types.member("outer", "c"), None, "named members are not transparent");
        assert_eq!(types.member("nobody", "a"), None);
        assert_eq!((types.structure("outer"), types.structure("nobody")), (Some(4), None));
        assert!(types.has_tracepoint("x"));
        assert!(!types.has_tracepoint("y"));
        assert_eq!(types.tracepoint_arguments("x"), Some(2), "without the kernel's own");
        assert_eq!(types.tracepoint_arguments("y"), None);
        assert!(types.has_enumerator("named") && !types.has_enumerator("outer"));
        assert!(types.has_function("bpf_f") && !types.has_function("outer"));
    }

    #[test]
    fn no_damage_panics() {
        let whole = table();
        for cut in 0..whole.len() {
            let _ = KernelTypes::parse(whole[..cut].to_vec());
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            if let Ok(types) = KernelTypes::parse(damaged) {
                let _ = types.member("outer", "named.c");
                let _ = types.tracepoint_arguments("x");
            }
        }
    }
}
