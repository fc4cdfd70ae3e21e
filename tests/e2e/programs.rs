//! x
pub(crate) fn add(_suite: &mut tests::runner::Suite) {}
