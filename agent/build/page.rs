//! Packs the files of the viewer's page, so that the program carries them small and serves them as they are.
//!
//! Indentation and lines that only remark are left out, since nobody reads them in a browser; the lines stay, so that
//! an error's place there is its place in the source. Nothing else is changed: what is written is what runs. The same
//! files give the same bytes.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};

/// Where they are, seen from the package's folder.
const FOLDER: &str = "src/viewer/page";

/// Packs each file of the page into `out/page`.
pub(crate) fn pack(out: &Path) -> io::Result<()> {
    println!("cargo::rerun-if-changed={FOLDER}");
    let out = out.join("page");
    fs::create_dir_all(&out)?;
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        let is_page = path.extension().is_some_and(|of| of == "js" || of == "css" || of == "html");
        let (true, Some(name)) = (is_page, path.file_name().and_then(|name| name.to_str())) else {
            continue;
        };
        let packed = File::create(out.join(format!("{name}.gz")))?;
        let mut packed = GzBuilder::new().write(packed, Compression::best());
        packed.write_all(bare(&fs::read_to_string(&path)?).as_bytes())?;
        packed.finish()?;
    }
    Ok(())
}

/// Without indentation and remarks, line by line. No text or template in these files goes over two lines.
fn bare(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut in_remark = false;
    for line in source.lines().map(str::trim) {
        let begins = line.starts_with("/*");
        if begins || in_remark {
            in_remark = !line.ends_with("*/");
        } else if !line.starts_with("//") {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}
