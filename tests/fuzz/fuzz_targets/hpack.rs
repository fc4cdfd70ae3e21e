//! HPACK over any blocks, limits and losses: no panic, bounded memory, and a decoder that came late says what one that
//! saw everything says, or nothing.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spanwire::protocols::http2::hpack::{DECODER_HELD, Decoder, Field};

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Block(&'a [u8]),
    /// Representations that are whole, so that tables fill.
    Fields(Vec<(u8, u8)>),
    Limit(u16),
    /// The late decoder comes here, or loses a block.
    Lost,
}

type Known = (Option<Vec<u8>>, Option<Vec<u8>>);

fuzz_target!(|steps: Vec<Step<'_>>| {
    let mut whole = Decoder::default();
    let mut late = Decoder::joined_late();
    for step in steps {
        let block = match step {
            Step::Block(block) => block.to_vec(),
            Step::Fields(fields) => fields.iter().flat_map(representation).collect(),
            Step::Limit(limit) => {
                whole.set_limit(Some(limit.into()));
                continue;
            }
            Step::Lost => {
                late.lose();
                continue;
            }
        };
        let (truth, told) = (read(&mut whole, &block), read(&mut late, &block));
        assert!(whole.held() <= DECODER_HELD && late.held() <= DECODER_HELD);
        // A block that is none leaves nothing to compare with.
        let Some(truth) = truth else { return };
        let told = told.expect("what is a block to one that knows all is one to all");
        assert_eq!(truth.len(), told.len());
        for ((name, value), (true_name, true_value)) in told.into_iter().zip(truth) {
            assert!(name.is_none() || name == true_name);
            assert!(value.is_none() || value == true_value);
        }
    }
});

/// An index, or a literal that is inserted.
fn representation(&(first, value): &(u8, u8)) -> Vec<u8> {
    match first {
        0x80.. => vec![first],
        _ => vec![0x40, 1, first, 1, value],
    }
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<Known>> {
    let mut fields = Vec::new();
    let known = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
    let each = |field: Field<'_>| fields.push((known(field.name), known(field.value)));
    decoder.block(block, each).ok().map(|_| fields)
}
