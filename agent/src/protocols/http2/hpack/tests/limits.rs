//! What is refused, and what is bounded.
#![forbid(unsafe_code)]

use super::{fields, hex, whole};
use crate::protocols::http2::hpack::dynamic_table::KEPT;
use crate::protocols::http2::hpack::{DECODER_HELD, Decoder, Error};

fn refused(block: &str) -> Error {
    fields(&mut Decoder::default(), &hex(block)).unwrap_err()
}

#[test]
fn what_no_encoder_may_send() {
    for (block, error) in [
        ("80", Error::Index),
        ("be", Error::Index),
        ("7f80", Error::Truncated),
        ("400a6375", Error::Truncated),
        ("40", Error::Truncated),
        ("82 20", Error::SizeUpdateLate),
        ("3fe21f", Error::SizeUpdateLimit),
        ("ffffffffff7f", Error::Integer),
        ("40 81 ff 00", Error::Huffman),
    ] {
        assert_eq!(refused(block), error, "{block}");
    }
    assert_eq!(fields(&mut Decoder::default(), &hex("3fe11f")), Ok(vec![]));
}

#[test]
fn after_an_error_the_table_is_unknown() {
    let mut decoder = Decoder::default();
    assert_eq!(whole(&mut decoder, b"\x40\x01a\x01b"), [("a".into(), "b".into())]);
    assert_eq!(fields(&mut decoder, &[0x80]), Err(Error::Index));
    assert_eq!(fields(&mut decoder, &[0x82, 0xbe]).unwrap()[1], (None, None));
}

#[test]
fn a_lowered_limit_asks_for_an_update() {
    let mut decoder = Decoder::default();
    decoder.set_limit(Some(100));
    assert_eq!(fields(&mut decoder, &[0x82]), Err(Error::SizeNotReduced));
    let mut decoder = Decoder::default();
    decoder.set_limit(Some(100));
    // 0, then 100 (§4.2: the smallest, then the last).
    assert!(fields(&mut decoder, &[0x20, 0x3f, 0x45, 0x82]).is_ok());
    assert_eq!(fields(&mut decoder, &[0x3f, 0x46]), Err(Error::SizeUpdateLimit));
    // Up and down again before the next block.
    decoder.set_limit(Some(10_000));
    decoder.set_limit(Some(50));
    assert!(fields(&mut decoder, &hex("3ff14d 3f13")).is_ok());
    assert_eq!(fields(&mut decoder, &hex("3ff14d 3f13")), Err(Error::SizeUpdateLimit));
    let mut decoder = Decoder::default();
    decoder.set_limit(Some(10_000));
    assert!(fields(&mut decoder, &[0x82]).is_ok());
    assert!(fields(&mut decoder, &hex("3ff14d")).is_ok());
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::default();
    whole(&mut decoder, b"\x40\x01a\x01b");
    let long = [&b"\x40\x01c\x7f\xe1\x1f"[..], &[b'x'; 4192]].concat();
    whole(&mut decoder, &long);
    assert_eq!(fields(&mut decoder, &[0xbe]), Err(Error::Index));
}

#[test]
fn a_name_may_come_from_the_entry_it_evicts() {
    let mut decoder = Decoder::default();
    // Room for one entry of two octets.
    whole(&mut decoder, &[&[0x3f, 0x03][..], b"\x40\x01a\x01b"].concat());
    assert_eq!(whole(&mut decoder, b"\x7e\x01c"), [("a".into(), "c".into())]);
    assert_eq!(whole(&mut decoder, &[0xbe]), [("a".into(), "c".into())]);
}

#[test]
fn a_large_table_is_kept_in_part_and_the_rest_is_unknown() {
    let mut decoder = Decoder::default();
    decoder.set_limit(Some(1 << 30));
    // 1 MiB.
    whole(&mut decoder, &hex("3fe1ff3f"));
    for n in 0..10_000u32 {
        let value = format!("{n:010}");
        whole(&mut decoder, &[b"\x40\x01a\x0a", value.as_bytes()].concat());
        assert!(decoder.held() <= DECODER_HELD);
    }
    let kept = u32::try_from(KEPT / 43).unwrap();
    let at = |index: u32| {
        let mut block = vec![0xff];
        let mut rest = index + 61 + 1 - 127;
        while rest >= 128 {
            block.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        block.push(rest as u8);
        block
    };
    let last = format!("{:010}", 10_000 - kept);
    assert_eq!(whole(&mut decoder, &at(kept - 1)), [("a".into(), last)]);
    assert_eq!(fields(&mut decoder, &at(kept)), Ok(vec![(None, None)]));
    // No table of 1 MiB has so many entries.
    assert_eq!(fields(&mut decoder, &at((1 << 20) / 32)), Err(Error::Index));
}

#[test]
fn a_bomb_is_cut_and_counted() {
    let mut decoder = Decoder::default();
    whole(&mut decoder, &[&b"\x40\x01a\x7f\x81\x1e"[..], &[b'x'; 4000 - 32]].concat());
    let mut handed = 0;
    let decoded = decoder.block(&[0xbe; 16 * 1024], |_| handed += 1).unwrap();
    assert_eq!(decoded.fields, 16 * 1024);
    assert_eq!(decoded.left_out, decoded.fields - handed);
    assert!(handed < 300, "{handed}");
}
