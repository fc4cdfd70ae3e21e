//! Packs the files of the viewer's page, so that the program carries them small and serves them as they are.
//!
//! What only readers of the source need is left out ([`bare`]); what is written is what runs. The same files give the
//! same bytes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use crate::bare::{Language, bare};

/// Where they are, seen from the package's folder.
const FOLDER: &str = "src/viewer/page";

/// Packs each file of the page into `out/page`.
pub(crate) fn pack(out: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-changed={FOLDER}");
    let out = out.join("page");
    fs::create_dir_all(&out)?;
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        let language = match path.extension().and_then(|extension| extension.to_str()) {
            Some("js") => Language::Script,
            Some("css") => Language::Style,
            Some("html") => Language::Markup,
            _ => continue,
        };
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let packed = File::create(out.join(format!("{name}.gz")))?;
        let mut packed = GzBuilder::new().write(packed, Compression::best());
        packed.write_all(bare(&fs::read_to_string(&path)?, language).as_bytes())?;
        packed.finish()?;
    }
    Ok(())
}
