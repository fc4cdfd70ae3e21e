//! An encoder that makes any legal choice it is told to.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::LazyLock;

use proptest::prelude::*;

use crate::protocols::http2::hpack::{huffman, static_table};

/// How one field is to be written, where there is a choice.
#[derive(Clone, Copy, Debug)]
pub(in crate::protocols::http2) struct Habit {
    /// As an index of the whole field, if there is one.
    indexed: bool,
    /// With an index for the name, if there is one.
    named: bool,
    /// Of several indices the last, not the first.
    last: bool,
    /// 0: inserted. 1: not. 2: never.
    kind: u8,
    /// Name and value in Huffman code.
    huffman: (bool, bool),
}

impl Habit {
    /// Any.
    pub(in crate::protocols::http2) fn any() -> impl Strategy<Value = Self> {
        (
            proptest::bool::weighted(0.8),
            proptest::bool::weighted(0.8),
            any::<bool>(),
            prop_oneof![4 => Just(0u8), 1 => Just(1), 1 => Just(2)],
            any::<(bool, bool)>(),
        )
            .prop_map(|(indexed, named, last, kind, huffman)| Self {
                indexed,
                named,
                last,
                kind,
                huffman,
            })
    }
}

/// A field to be written.
pub(in crate::protocols::http2) type Pair = (Vec<u8>, Vec<u8>);

/// The encoder's table and its maximum.
#[derive(Debug)]
pub(in crate::protocols::http2) struct Encoder {
    entries: VecDeque<Pair>,
    max: usize,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { entries: VecDeque::new(), max: 4096 }
    }
}

impl Encoder {
    /// A size update.
    pub(in crate::protocols::http2) fn resize(&mut self, max: u32, out: &mut Vec<u8>) {
        self.max = max as usize;
        self.evict();
        integer(0x20, 5, max as usize, out);
    }

    /// A field.
    pub(in crate::protocols::http2) fn field(
        &mut self,
        field: &Pair,
        habit: Habit,
        out: &mut Vec<u8>,
    ) {
        let indices = |fits: &dyn Fn(&[u8], &[u8]) -> bool| {
            let fixed = (1..=static_table::LEN).filter_map(|index| {
                let (name, value) = static_table::get(index)?;
                fits(name.as_bytes(), value.as_bytes()).then_some(index as usize)
            });
            let dynamic = self.entries.iter().enumerate();
            let dynamic = dynamic
                .filter(|(_, (name, value))| fits(name, value))
                .map(|(n, _)| n + static_table::LEN as usize + 1);
            let all: Vec<usize> = fixed.chain(dynamic).collect();
            if habit.last { all.last().copied() } else { all.first().copied() }
        };
        let (name, value) = field;
        let whole = indices(&|n, v| n == name && v == value);
        if let (true, Some(index)) = (habit.indexed, whole) {
            return integer(0x80, 7, index, out);
        }
        let (first, prefix) = [(0x40, 6), (0x00, 4), (0x10, 4)][usize::from(habit.kind)];
        match indices(&|n, _| n == name).filter(|_| habit.named) {
            Some(index) => integer(first, prefix, index, out),
            None => {
                out.push(first);
                string(name, habit.huffman.0, out);
            }
        }
        string(value, habit.huffman.1, out);
        if habit.kind == 0 {
            self.entries.push_front(field.clone());
            self.evict();
        }
    }

    fn evict(&mut self) {
        let size = |(name, value): &Pair| 32 + name.len() + value.len();
        while self.entries.iter().map(size).sum::<usize>() > self.max {
            self.entries.pop_back();
        }
    }
}

/// §5.1.
fn integer(first: u8, prefix: u32, value: usize, out: &mut Vec<u8>) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        return out.push(first | value as u8);
    }
    out.push(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Each octet's code and its length.
static CODES: LazyLock<Vec<(u32, u8)>> = LazyLock::new(|| (0..=255).map(huffman::code).collect());

/// §5.2.
fn string(text: &[u8], coded: bool, out: &mut Vec<u8>) {
    if !coded {
        integer(0, 7, text.len(), out);
        return out.extend_from_slice(text);
    }
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u64, 0);
    for symbol in text {
        let (code, length) = CODES[usize::from(*symbol)];
        bits = bits << length | u64::from(code);
        count += u32::from(length);
        while count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        bytes.push((bits << (8 - count)) as u8 | (0xff >> count));
    }
    integer(0x80, 7, bytes.len(), out);
    out.extend_from_slice(&bytes);
}
