//! RFC 7541 Appendix C.
#![forbid(unsafe_code)]

use super::{hex, whole};
use crate::protocols::http2::hpack::Decoder;

fn check(decoder: &mut Decoder, block: &str, expected: &[(&str, &str)]) {
    let fields = whole(decoder, &hex(block));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(fields, expected);
}

#[test]
fn c_2_single_fields() {
    let mut decoder = Decoder::default();
    check(
        &mut decoder,
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        &[("custom-key", "custom-header")],
    );
    check(&mut decoder, "040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")]);
    check(&mut decoder, "82", &[(":method", "GET")]);
    check(&mut decoder, "be", &[("custom-key", "custom-header")]);
}

#[test]
fn c_2_3_never_indexed() {
    let mut flags = Vec::new();
    let block =
        hex("1008 7061 7373 776f 7264 0673 6563 7265 74 040c 2f73 616d 706c 652f 7061 7468");
    Decoder::default().block(&block, |field| flags.push(field.never_indexed)).unwrap();
    assert_eq!(flags, [true, false]);
}

const FIRST: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
const SECOND: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];

#[test]
fn c_3_requests() {
    let mut decoder = Decoder::default();
    check(&mut decoder, "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", FIRST);
    check(&mut decoder, "8286 84be 5808 6e6f 2d63 6163 6865", SECOND);
    check(
        &mut decoder,
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        THIRD,
    );
}

#[test]
fn c_4_requests_in_huffman_code() {
    let mut decoder = Decoder::default();
    check(&mut decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", FIRST);
    check(&mut decoder, "8286 84be 5886 a8eb 1064 9cbf", SECOND);
    check(&mut decoder, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", THIRD);
}

const DATE: &str = "Mon, 21 Oct 2013 20:13:21 GMT";
const PLACE: &str = "https://www.example.com";
const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";

fn responses(blocks: [&str; 3]) {
    let mut decoder = Decoder::default();
    // The examples' table has 256 octets.
    check(&mut decoder, "3fe101", &[]);
    for (block, status) in blocks.iter().zip(["302", "307"]) {
        check(
            &mut decoder,
            block,
            &[
                (":status", status),
                ("cache-control", "private"),
                ("date", DATE),
                ("location", PLACE),
            ],
        );
    }
    check(
        &mut decoder,
        blocks[2],
        &[
            (":status", "200"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            ("location", PLACE),
            ("content-encoding", "gzip"),
            ("set-cookie", COOKIE),
        ],
    );
    // What is left in the table after the evictions, newest first.
    check(
        &mut decoder,
        "be bf c0",
        &[
            ("set-cookie", COOKIE),
            ("content-encoding", "gzip"),
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
        ],
    );
    assert!(decoder.block(&[0xc1], |_| {}).is_err());
}

#[test]
fn c_5_responses() {
    responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a
         3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04
         677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49
         553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ]);
}

#[test]
fn c_6_responses_in_huffman_code() {
    responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e
         919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
         821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
         4ee5 b106 3d50 07",
    ]);
}
