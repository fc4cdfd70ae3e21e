//! Streams of any legal encoder, whole, cut and with holes; and any bytes.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use super::encoder::{Encoder, Habit, Pair};
use super::fields;
use crate::protocols::http2::hpack::{DECODER_HELD, Decoder};

/// What is to be written in one block.
#[derive(Clone, Debug)]
struct Block {
    updates: Vec<u32>,
    fields: Vec<(Pair, Habit)>,
}

fn pair() -> impl Strategy<Value = Pair> {
    let name = prop_oneof![
        4 => "(:path|:method|:status|cookie|x-id|traceparent|grpc-status)",
        1 => "[a-z]{0,40}",
    ];
    let value = prop_oneof![
        4 => "(GET|/|200|0|a|bb|ccc)".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
        // Longer than all that a table holds, and nearly so.
        1 => prop_oneof![8 => 0usize..300, 1 => 3900usize..4200].prop_map(|len| vec![b'v'; len]),
    ];
    (name.prop_map(String::into_bytes), value)
}

fn block() -> impl Strategy<Value = Block> {
    let size = prop_oneof![Just(0u32), 30u32..200, 0u32..=4096, Just(4096)];
    let updates = prop_oneof![6 => Just(Vec::new()), 1 => proptest::collection::vec(size, 1..3)];
    let fields = proptest::collection::vec((pair(), Habit::any()), 0..8);
    (updates, fields).prop_map(|(updates, fields)| Block { updates, fields })
}

fn encoded(blocks: &[Block]) -> Vec<(Vec<u8>, Vec<Pair>)> {
    let mut encoder = Encoder::default();
    let write = |block: &Block| {
        let mut bytes = Vec::new();
        for size in &block.updates {
            encoder.resize(*size, &mut bytes);
        }
        for (field, habit) in &block.fields {
            encoder.field(field, *habit, &mut bytes);
        }
        (bytes, block.fields.iter().map(|(field, _)| field.clone()).collect())
    };
    blocks.iter().map(write).collect()
}

proptest! {
    #[test]
    fn a_stream_from_its_beginning_is_known_exactly(
        blocks in proptest::collection::vec(block(), 1..30),
    ) {
        let mut decoder = Decoder::default();
        for (bytes, truth) in encoded(&blocks) {
            let truth: Vec<_> =
                truth.into_iter().map(|(name, value)| (Some(name), Some(value))).collect();
            prop_assert_eq!(fields(&mut decoder, &bytes), Ok(truth));
        }
    }

    #[test]
    fn with_blocks_missing_fields_are_right_or_unknown(
        blocks in proptest::collection::vec((block(), proptest::bool::weighted(0.1)), 1..30),
        late in 0usize..30,
    ) {
        let (blocks, lost): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
        let mut decoder = Decoder::joined_late();
        let stream = encoded(&blocks).into_iter().zip(lost).skip(late.min(blocks.len()));
        for ((bytes, truth), lost) in stream {
            if lost {
                decoder.lose();
                continue;
            }
            let told = fields(&mut decoder, &bytes);
            prop_assert!(told.is_ok(), "{:?}", told);
            let told = told.unwrap();
            prop_assert_eq!(told.len(), truth.len());
            for ((name, value), (true_name, true_value)) in told.into_iter().zip(truth) {
                prop_assert!(name.is_none_or(|name| name == true_name));
                prop_assert!(value.is_none_or(|value| value == true_value));
            }
        }
    }

    #[test]
    fn an_update_to_nothing_makes_everything_known(
        before in proptest::collection::vec(block(), 0..5),
        mut after in proptest::collection::vec(block(), 1..10),
    ) {
        after[0].updates.insert(0, 0);
        let whole = [before.clone(), after].concat();
        let mut decoder = Decoder::joined_late();
        for (bytes, truth) in encoded(&whole).into_iter().skip(before.len()) {
            let truth: Vec<_> =
                truth.into_iter().map(|(name, value)| (Some(name), Some(value))).collect();
            prop_assert_eq!(fields(&mut decoder, &bytes), Ok(truth));
        }
    }

    #[test]
    fn any_bytes_are_read_in_bounded_memory(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..20),
        late: bool,
    ) {
        let mut decoder = if late { Decoder::joined_late() } else { Decoder::default() };
        for block in blocks {
            let _ = fields(&mut decoder, &block);
            prop_assert!(decoder.held() <= DECODER_HELD);
        }
    }
}
