//! placeholder
pub(in crate::trace) const QUERY_KEYS: [&str; 1] = ["sig"];
