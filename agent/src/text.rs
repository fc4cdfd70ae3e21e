//! Bytes of others as text.
//!
//! Must never fail: whatever is no UTF-8 is replaced, as std does it.
#![forbid(unsafe_code)]

use std::borrow::Cow;

/// [`String::from_utf8_lossy`], for bytes that are nearly always plain: std's own goes through these a character at a time.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_std_says(bytes: Vec<u8>, text: String) {
            prop_assert_eq!(lossy(&bytes), String::from_utf8_lossy(&bytes));
            prop_assert_eq!(lossy(text.as_bytes()), text.as_str());
        }
    }
}
