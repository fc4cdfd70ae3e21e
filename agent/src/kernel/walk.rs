//! Walking over all TCP sockets of a network namespace: an iterator sees those of its reader.
#![forbid(unsafe_code)]

use std::{
    io::{self, Read as _},
    path::Path,
};

use aya::programs::Iter;

use super::netns;

/// Runs a loaded program for each socket in the namespace of that file.
///
/// # Errors
///
/// When it cannot be attached, or the namespace cannot be entered.
pub(super) fn over_sockets(program: &mut Iter, namespace: &Path) -> io::Result<()> {
    let link = program.attach().map_err(io::Error::other)?;
    let link = program.take_link(link).map_err(io::Error::other)?;
    netns::within(namespace, || {
        let mut each = link.into_file().map_err(io::Error::other)?;
        each.read_to_end(&mut Vec::new())
    })?;
    Ok(())
}
