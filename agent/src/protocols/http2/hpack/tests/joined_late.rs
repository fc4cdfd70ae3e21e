//! What a decoder knows that came late or has lost something.
#![forbid(unsafe_code)]

use super::{Known, fields, hex};
use crate::protocols::http2::hpack::{Decoder, Error};

fn known(name: &str, value: &str) -> Known {
    (Some(name.into()), Some(value.into()))
}

#[test]
fn the_static_table_and_what_was_inserted_since_are_known() {
    let mut decoder = Decoder::joined_late();
    let block = [&[0x82, 0xbe][..], b"\x40\x01a\x01b", &[0xbe, 0xbf]].concat();
    assert_eq!(
        fields(&mut decoder, &block).unwrap(),
        [known(":method", "GET"), (None, None), known("a", "b"), known("a", "b"), (None, None)]
    );
}

#[test]
fn an_unknown_name_stays_unknown_where_its_entry_is_used() {
    let mut decoder = Decoder::joined_late();
    let block = [b"\x7e\x01v", &[0xbe][..], b"\x7e\x01w", &[0xbe, 0xbf]].concat();
    let value = |value: &str| (None, Some(value.into()));
    assert_eq!(
        fields(&mut decoder, &block).unwrap(),
        [value("v"), value("v"), value("w"), value("w"), value("v")]
    );
}

#[test]
fn an_emptied_table_is_known_again() {
    let mut decoder = Decoder::joined_late();
    fields(&mut decoder, &[0xbe]).unwrap();
    fields(&mut decoder, &hex("20 3fe11f")).unwrap();
    assert_eq!(fields(&mut decoder, &[0xbe]), Err(Error::Index));
}

#[test]
fn a_table_that_new_entries_fill_is_known_again() {
    let mut decoder = Decoder::joined_late();
    // Room for two entries of two octets, and 31 octets more.
    fields(&mut decoder, &hex("3f 44")).unwrap();
    fields(&mut decoder, b"\x40\x01a\x01b").unwrap();
    assert_eq!(fields(&mut decoder, &[0xbf]), Ok(vec![(None, None)]));
    fields(&mut decoder, b"\x40\x01c\x01d").unwrap();
    assert_eq!(fields(&mut decoder, &[0xbf]), Ok(vec![known("a", "b")]));
    assert_eq!(fields(&mut decoder, &[0xc0]), Err(Error::Index));
}

#[test]
fn nothing_known_is_dropped_while_it_may_be_there() {
    let mut decoder = Decoder::joined_late();
    for n in 0..500 {
        fields(&mut decoder, &[b"\x40\x01a\x03", format!("{n:03}").as_bytes()].concat()).unwrap();
    }
    // 500 entries of 36 octets: more than the default size holds, but who knows the size?
    let mut block = hex("ff");
    block.extend([(499 + 62 - 127) as u8 | 0x80, ((499 + 62 - 127) >> 7) as u8]);
    assert_eq!(fields(&mut decoder, &block), Ok(vec![known("a", "000")]));
    // Its decoder allows no more than 4096: they are gone.
    decoder.set_limit(Some(4096));
    assert_eq!(fields(&mut decoder, &block), Err(Error::Index));
}

#[test]
fn lost_blocks_make_everything_unknown() {
    let mut decoder = Decoder::default();
    fields(&mut decoder, b"\x40\x01a\x01b").unwrap();
    decoder.lose();
    assert_eq!(fields(&mut decoder, &[0xbe]), Ok(vec![(None, None)]));
    fields(&mut decoder, b"\x40\x01c\x01d").unwrap();
    assert_eq!(fields(&mut decoder, &[0xbe, 0xbf]), Ok(vec![known("c", "d"), (None, None)]));
}
