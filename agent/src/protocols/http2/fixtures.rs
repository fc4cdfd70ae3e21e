//! The recorded conversations of `fixtures/` against what is expected of them.
#![forbid(unsafe_code)]

#[test]
fn every_talk_is_told_as_expected() {
    crate::protocols::fixture::check("src/protocols/http2/fixtures");
}
