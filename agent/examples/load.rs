//! Writes the benches' made-up load as a recording: what `cargo xtask bench --instructions` counts a replay of.

#[path = "../benches/load/mod.rs"]
mod load;

use std::path::Path;

use anyhow::{Context as _, Result};
use spanwire::record::Writer;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, exchanges] = arguments.as_slice() else {
        anyhow::bail!("usage: load FILE EXCHANGES")
    };
    if std::fs::exists(file)? {
        std::fs::remove_file(file)?;
    }
    let mut writer =
        Writer::create(Path::new(file), &load::header(), u64::MAX).context(file.clone())?;
    for input in load::inputs(exchanges.parse()?) {
        writer.write(&input)?;
    }
    let written = writer.finish()?;
    anyhow::ensure!(written.malformed == 0, "{written:?}");
    Ok(())
}
