//! Header blocks to fields (RFC 7541 §3, §6).
#![forbid(unsafe_code)]

use std::sync::Arc;

use super::dynamic_table::{DynamicTable, Entry, Found};
use super::{Error, huffman, integer, static_table};

/// SETTINGS_HEADER_TABLE_SIZE before any SETTINGS (RFC 9113 §6.5.2), octets.
const DEFAULT_SIZE: u32 = 4096;
/// Most fields of a block that are handed out: servers' limits are about 100.
const FIELDS_MAX: usize = 4096;
/// Most octets of fields that are handed out of a block, counted as SETTINGS_MAX_HEADER_LIST_SIZE is (RFC 9113 §6.5.2).
/// A block of one-octet indices can stand for thousands of times its length.
const LIST_MAX: usize = 1024 * 1024;
/// What a field counts beside its name and value there, octets.
const FIELD_OVERHEAD: usize = 32;

/// A header field; what is not known of it is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// As sent: HTTP/2's are in lower case.
    pub name: Option<&'a [u8]>,
    /// As sent.
    pub value: Option<&'a [u8]>,
    /// The sender asks that it never be kept in a table (§7.1.3): passwords and the like.
    pub never_indexed: bool,
}

/// A block that was decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Fields in it.
    pub fields: usize,
    /// Of those, how many were not handed out because they were too many or too long.
    pub left_out: usize,
}

/// The decoder of one direction.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// The encoder's maximum is known, not only bounded.
    max: Option<u32>,
    /// SETTINGS_HEADER_TABLE_SIZE as the encoder has acknowledged it; `u32::MAX` when that is not known.
    limit: u32,
    /// The highest limit there was since the last block: an encoder may go through all of them.
    highest_limit: u32,
    /// The literals that are being read.
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Decoder {
    /// For a stream seen from its beginning.
    fn default() -> Self {
        Self {
            table: DynamicTable::empty(DEFAULT_SIZE),
            max: Some(DEFAULT_SIZE),
            limit: DEFAULT_SIZE,
            highest_limit: DEFAULT_SIZE,
            name: Vec::new(),
            value: Vec::new(),
        }
    }
}

impl Decoder {
    /// For a stream that is older than us: neither entries nor sizes are known.
    #[must_use]
    pub fn joined_late() -> Self {
        let mut decoder = Self::default();
        decoder.lose();
        decoder.set_limit(None);
        decoder
    }

    /// From the next block on the encoder knows that SETTINGS_HEADER_TABLE_SIZE is `limit`, octets: it has acknowledged
    /// it. `None`: what it knows is not known.
    pub fn set_limit(&mut self, limit: Option<u32>) {
        self.limit = limit.unwrap_or(u32::MAX);
        self.highest_limit = self.highest_limit.max(self.limit);
    }

    /// Blocks were lost here: nobody knows what they inserted, so every entry of the table is unknown now, and so is its
    /// size.
    pub fn lose(&mut self) {
        self.table = DynamicTable::unknown(u32::MAX);
        self.max = None;
    }

    /// Decodes one header block (all fragments of it, RFC 9113 §4.3) and calls `each` for every field, in order. After
    /// an error the table is unknown, and what `each` was given is not to be believed.
    ///
    /// # Errors
    /// The block is malformed.
    pub fn block(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Field<'_>),
    ) -> Result<Decoded, Error> {
        let decoded = self.read_block(bytes, &mut each);
        if decoded.is_err() {
            self.lose();
        }
        // One long literal is not paid for as long as the connection lives.
        self.name.shrink_to(SCRATCH_KEPT);
        self.value.shrink_to(SCRATCH_KEPT);
        decoded
    }

    /// Memory held, bytes, about.
    #[must_use]
    pub fn held(&self) -> usize {
        self.table.held() + self.name.capacity() + self.value.capacity()
    }

    fn read_block(
        &mut self,
        mut bytes: &[u8],
        each: &mut dyn FnMut(Field<'_>),
    ) -> Result<Decoded, Error> {
        self.size_updates(&mut bytes)?;
        let mut list = List { each, decoded: Decoded::default(), octets: 0 };
        while let Some(first) = bytes.first() {
            match first {
                0x80.. => self.indexed(&mut bytes, &mut list)?,
                0x40.. => self.literal(&mut bytes, 6, Kind::Inserted, &mut list)?,
                0x20.. => return Err(Error::SizeUpdateLate),
                0x10.. => self.literal(&mut bytes, 4, Kind::NeverIndexed, &mut list)?,
                _ => self.literal(&mut bytes, 4, Kind::NotInserted, &mut list)?,
            }
        }
        Ok(list.decoded)
    }

    /// The updates a block begins with (§4.2, §6.3).
    fn size_updates(&mut self, bytes: &mut &[u8]) -> Result<(), Error> {
        while let Some(0x20..=0x3f) = bytes.first() {
            let max = integer::read(bytes, 5)?;
            if max > self.highest_limit {
                return Err(Error::SizeUpdateLimit);
            }
            self.table.resize(max);
            self.max = Some(max);
        }
        self.highest_limit = self.limit;
        match self.max {
            Some(max) if max > self.limit => Err(Error::SizeNotReduced),
            Some(_) => Ok(()),
            None => {
                self.table.bound(self.limit);
                Ok(())
            }
        }
    }

    /// Indexed Header Field (§6.1).
    fn indexed(&mut self, bytes: &mut &[u8], list: &mut List<'_>) -> Result<(), Error> {
        let index = integer::read(bytes, 7)?;
        let (name, value) = match self.at(index)? {
            At::Static(name, value) => (Some(name.as_bytes()), Some(value.as_bytes())),
            At::Dynamic(Found::Entry(entry)) => (entry.name.as_deref(), Some(&*entry.value)),
            At::Dynamic(Found::Older) => (None, None),
        };
        list.add(Field { name, value, never_indexed: false });
        Ok(())
    }

    /// Literal Header Field (§6.2), whose index has `prefix` bits.
    fn literal(
        &mut self,
        bytes: &mut &[u8],
        prefix: u32,
        kind: Kind,
        list: &mut List<'_>,
    ) -> Result<(), Error> {
        let index = integer::read(bytes, prefix)?;
        // Kept in the entry that is made of it, so that a name is held once however many entries have it.
        let mut shared = None;
        let known = if index == 0 {
            string(bytes, &mut self.name)?;
            true
        } else {
            self.name.clear();
            let mut name = std::mem::take(&mut self.name);
            let known = match self.at(index)? {
                At::Static(text, _) => {
                    name.extend_from_slice(text.as_bytes());
                    true
                }
                At::Dynamic(Found::Entry(Entry { name: Some(text), .. })) => {
                    name.extend_from_slice(text);
                    shared = Some(text.clone());
                    true
                }
                At::Dynamic(Found::Entry(_) | Found::Older) => false,
            };
            self.name = name;
            known
        };
        string(bytes, &mut self.value)?;
        list.add(Field {
            name: known.then_some(&self.name),
            value: Some(&self.value),
            never_indexed: kind == Kind::NeverIndexed,
        });
        if kind == Kind::Inserted {
            let name = shared.or_else(|| known.then(|| Arc::from(&self.name[..])));
            self.table.insert(Entry { name, value: Arc::from(&self.value[..]) });
        }
        Ok(())
    }

    /// What an index refers to (§2.3.3).
    fn at(&self, index: u32) -> Result<At<'_>, Error> {
        match index.checked_sub(static_table::LEN + 1) {
            Some(index) => self.table.get(index).map(At::Dynamic),
            None => static_table::get(index)
                .map(|(name, value)| At::Static(name, value))
                .ok_or(Error::Index),
        }
    }
}

/// Memory for a literal that is kept from block to block, bytes.
const SCRATCH_KEPT: usize = 1024;

/// What a literal does to the table (§6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Inserted,
    NotInserted,
    NeverIndexed,
}

/// What an index refers to.
enum At<'a> {
    Static(&'static str, &'static str),
    Dynamic(Found<'a>),
}

/// The fields that have been handed out of a block.
struct List<'a> {
    each: &'a mut dyn FnMut(Field<'_>),
    decoded: Decoded,
    octets: usize,
}

impl List<'_> {
    fn add(&mut self, field: Field<'_>) {
        let len = |text: Option<&[u8]>| text.map_or(0, <[u8]>::len);
        self.octets =
            self.octets.saturating_add(FIELD_OVERHEAD + len(field.name) + len(field.value));
        self.decoded.fields += 1;
        if self.decoded.fields > FIELDS_MAX || self.octets > LIST_MAX {
            self.decoded.left_out += 1;
        } else {
            (self.each)(field);
        }
    }
}

/// A string literal (§5.2).
fn string(bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    out.clear();
    let huffman = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let len = integer::read(bytes, 7)? as usize;
    let (text, rest) = bytes.split_at_checked(len).ok_or(Error::Truncated)?;
    *bytes = rest;
    if huffman {
        huffman::decode(text, out)
    } else {
        out.extend_from_slice(text);
        Ok(())
    }
}
