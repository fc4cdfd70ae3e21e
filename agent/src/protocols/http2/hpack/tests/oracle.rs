//! Others' encoders read by our decoder, and our tests' encoder read by another decoder.
#![forbid(unsafe_code)]

use proptest::prelude::*;

use super::encoder::{Encoder, Habit, Pair};
use super::fields;
use crate::protocols::http2::hpack::Decoder;

fn blocks() -> impl Strategy<Value = Vec<Vec<(Pair, Habit, u8)>>> {
    let name = "(:path|:method|:status|cookie|x-id|traceparent|grpc-status|[a-z]{1,30})";
    let value = prop_oneof!["(GET|/|200|0|a|bb|ccc)", "[ -~]{0,60}"];
    let pair = (name.prop_map(String::into_bytes), value.prop_map(String::into_bytes));
    let block = proptest::collection::vec((pair, Habit::any(), 0u8..32), 0..8);
    proptest::collection::vec(block, 1..20)
}

/// All of it is known, and it is what was written.
fn is_decoded(decoder: &mut Decoder, bytes: &[u8], block: &[(Pair, Habit, u8)]) {
    let known: Vec<_> =
        block.iter().map(|((name, value), ..)| (Some(name.clone()), Some(value.clone()))).collect();
    assert_eq!(fields(decoder, bytes), Ok(known));
}

proptest! {
    // The others' decoders are slow.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_encoder_that_indexes_everything(blocks in blocks()) {
        let mut encoder = loona_hpack::Encoder::new();
        let mut decoder = Decoder::default();
        for block in &blocks {
            let pairs = block.iter().map(|((name, value), ..)| (&name[..], &value[..]));
            is_decoded(&mut decoder, &encoder.encode(pairs), block);
        }
    }

    #[test]
    fn an_encoder_that_does_as_it_is_told(blocks in blocks()) {
        let mut encoder = httlib_hpack::Encoder::default();
        let mut decoder = Decoder::default();
        for block in &blocks {
            let mut bytes = Vec::new();
            for ((name, value), _, flags) in block {
                encoder.encode((name.clone(), value.clone(), *flags), &mut bytes).unwrap();
            }
            is_decoded(&mut decoder, &bytes, block);
        }
    }

    #[test]
    fn our_encoder_is_legal(blocks in blocks()) {
        let mut encoder = Encoder::default();
        let mut decoder = loona_hpack::Decoder::new();
        for block in &blocks {
            let mut bytes = Vec::new();
            for (pair, habit, _) in block {
                encoder.field(pair, *habit, &mut bytes);
            }
            let written: Vec<Pair> = block.iter().map(|(pair, ..)| pair.clone()).collect();
            prop_assert_eq!(decoder.decode(&bytes).unwrap(), written);
        }
    }
}
