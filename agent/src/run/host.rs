//! What the host is called, and the secret of this run.

use std::{fs::File, io::Read};

use abi::id::Seed;
use anyhow::{Context, Result};

/// A fresh secret from the kernel's random source.
pub(super) fn seed() -> Result<Seed> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("/dev/urandom cannot be read")?;
    let (high, low) = bytes.split_at(8);
    let half = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Ok([half(high), half(low)])
}

pub(super) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

pub(super) fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

pub(super) fn machine() -> String {
    rustix::system::uname().machine().to_string_lossy().into_owned()
}
