//! The page's files, embedded as the build script has packed them: no other origin, nothing that is not in this folder.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::GzDecoder;

/// A file as it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) content_type: &'static str,
    /// In gzip.
    packed: &'static [u8],
}

macro_rules! packed {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/page/", $name, ".gz"))
    };
}

/// Files by name, with their types. Every view is the same document; its script reads the address.
const FILES: &[(&str, &str, &[u8])] = &[
    ("style.css", CSS, packed!("style.css")),
    ("main.js", SCRIPT, packed!("main.js")),
    ("state.js", SCRIPT, packed!("state.js")),
    ("dom.js", SCRIPT, packed!("dom.js")),
    ("format.js", SCRIPT, packed!("format.js")),
    ("search.js", SCRIPT, packed!("search.js")),
    ("lens.js", SCRIPT, packed!("lens.js")),
    ("traced.js", SCRIPT, packed!("traced.js")),
    ("traces.js", SCRIPT, packed!("traces.js")),
    ("trace.js", SCRIPT, packed!("trace.js")),
    ("waterfall.js", SCRIPT, packed!("waterfall.js")),
    ("panel.js", SCRIPT, packed!("panel.js")),
    ("services.js", SCRIPT, packed!("services.js")),
    ("map.js", SCRIPT, packed!("map.js")),
    ("layers.js", SCRIPT, packed!("layers.js")),
    ("latency.js", SCRIPT, packed!("latency.js")),
    ("compare.js", SCRIPT, packed!("compare.js")),
];

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const ICON: &str = concat!(
    r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">"#,
    r##"<path d="M1.5 8h3l2-5 3 10 2-5h3" fill="none" stroke="#2a5bd7" stroke-width="2"/></svg>"##
);

const DOCUMENT: File =
    File { content_type: "text/html; charset=utf-8", packed: packed!("index.html") };

impl File {
    /// Its bytes for who reads gzip, or not; and whether they are in gzip.
    pub(crate) fn bytes(self, reads_gzip: bool) -> (Cow<'static, [u8]>, bool) {
        if reads_gzip {
            return (self.packed.into(), true);
        }
        let mut plain = Vec::new();
        // What the build script has packed is whole.
        let _ = GzDecoder::new(self.packed).read_to_end(&mut plain);
        (plain.into(), false)
    }
}

/// What browsers ask for unasked: its type and its bytes.
pub(crate) fn icon(path: &str) -> Option<(&'static str, &'static str)> {
    (path == "/favicon.ico").then_some(("image/svg+xml", ICON))
}

/// What is at that path.
pub(crate) fn file(path: &str) -> Option<File> {
    if let Some(name) = path.strip_prefix("/assets/") {
        let (_, content_type, packed) = *FILES.iter().find(|(file, ..)| *file == name)?;
        return Some(File { content_type, packed });
    }
    let first = path.split('/').nth(1)?;
    let is_view = matches!(
        first,
        "" | "traces" | "services" | "map" | "latency" | "trace" | "compare" | "search"
    );
    is_view.then_some(DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// Names and sources.
    fn all() -> impl Iterator<Item = (&'static str, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/viewer/page");
        let names = FILES.iter().map(|(name, ..)| *name).chain(["index.html"]);
        names.map(move |name| (name, fs::read_to_string(folder.join(name)).unwrap()))
    }

    /// What is served of a file of that name.
    fn served(name: &str) -> Vec<u8> {
        let path = if name == "index.html" { "/".to_owned() } else { format!("/assets/{name}") };
        file(&path).unwrap().bytes(false).0.into_owned()
    }

    #[test]
    fn it_stays_small() {
        assert!(all().count() <= 18);
        let mut raw = 0;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        for (name, text) in all() {
            assert!(text.lines().count() <= 300, "{name} has {} lines", text.lines().count());
            let served = served(name);
            encoder.write_all(&served).unwrap();
            raw += served.len();
        }
        let packed = encoder.finish().unwrap().len();
        assert!(raw <= 160_000, "{raw} bytes");
        assert!(packed <= 45_000, "{packed} bytes in gzip");
    }

    /// Lines of a file as it is served, each beside its source; lines that only remark have nothing to say.
    fn lines(name: &str, source: &str) -> Vec<(String, String)> {
        let served = String::from_utf8(served(name)).unwrap();
        assert_eq!(served.lines().count(), source.lines().count(), "{name}");
        let mut in_remark = false;
        let without_remark = |line: &str| {
            let begins = line.starts_with("/*");
            let is_remark = begins || in_remark || line.starts_with("//");
            in_remark = (begins || in_remark) && !line.ends_with("*/");
            if is_remark { String::new() } else { line.split(" // ").next().unwrap().to_owned() }
        };
        let sources = source.lines().map(str::trim).map(without_remark);
        served.lines().map(str::to_owned).zip(sources).collect()
    }

    /// Spaces are all that is missing; and none of those between two words, two signs, or in a text.
    #[test]
    fn what_is_served_is_the_source_without_remarks_and_needless_spaces() {
        let is_word = |c: char| c.is_alphanumeric() || "_$".contains(c);
        for (name, source) in all() {
            for (is, was) in lines(name, &source) {
                let mut rest = is.as_str();
                let mut before = ' ';
                let mut gap = false;
                for c in was.chars() {
                    let keeps = rest.starts_with(' ');
                    if c == ' ' {
                        rest = if keeps { &rest[1..] } else { rest };
                        gap |= !keeps;
                        continue;
                    }
                    rest = rest.strip_prefix(c).unwrap_or_else(|| panic!("{name}: {was}\n{is}"));
                    let joined = is_word(before) && is_word(c) || before == c && "+-".contains(c);
                    assert!(!gap || !joined, "{name}: {was}\n{is}");
                    (before, gap) = (c, false);
                }
                assert_eq!(rest, "", "{name}: {was}");
            }
        }
    }

    /// Found another way than the packing finds them: a quote's other end is the next one on the line.
    #[test]
    fn texts_are_served_as_they_are() {
        let mut seen = 0;
        for (name, source) in all() {
            for (is, was) in lines(name, &source) {
                // A text over two lines would lose its indentation.
                assert_eq!(was.matches('`').count() % 2, 0, "{name}: {was}");
                let is_plain = !was.contains('\\') && !was.contains("[^");
                for quote in ['`', '\'', '"'].into_iter().filter(|_| is_plain) {
                    let others: &[char] = match quote {
                        '`' => &[],
                        '\'' => &['`', '"'],
                        _ => &['`', '\''],
                    };
                    // One kind within another, and a template in a template, are left to the browser.
                    if was.contains(others) || was.contains("${`") || was.contains("? `") {
                        continue;
                    }
                    for text in was.split(quote).skip(1).step_by(2).filter(|t| t.contains(' ')) {
                        assert!(is.contains(text), "{name}: {text} in {is}");
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 50, "{seen}");
    }

    #[test]
    fn no_text_becomes_markup_and_nothing_comes_from_elsewhere() {
        for (name, text) in all() {
            for banned in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "setAttribute('href'",
                "setAttribute('on",
                "setAttribute('style'",
                "style=\"",
                "DOMParser",
                "https://",
            ] {
                assert!(!text.contains(banned), "{name} has {banned}");
            }
            for (at, _) in text.match_indices("http://") {
                let is_name = text[at..].starts_with("http://www.w3.org/2000/svg");
                let is_ours = text[at..].starts_with("http://127.0.0.1")
                    || text[at..].starts_with("http://localhost");
                assert!(is_name || is_ours, "{name} names another origin");
            }
        }
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        for (name, text) in all() {
            for import in text.split("'./").skip(1).filter_map(|rest| rest.split('\'').next()) {
                assert!(file(&format!("/assets/{import}")).is_some(), "{name} imports {import}");
            }
            for link in text.split("\"/assets/").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(file(&format!("/assets/{link}")).is_some(), "{name} links {link}");
            }
        }
        for path in ["/", "/traces", "/trace/1f", "/compare/1/2", "/search"] {
            assert_eq!(file(path).unwrap(), DOCUMENT);
        }
        for path in
            ["/assets/x.js", "/assets/../mod.rs", "/api/services", "/view/host", "/metrics", ""]
        {
            assert!(file(path).is_none(), "{path}");
        }
    }
}
