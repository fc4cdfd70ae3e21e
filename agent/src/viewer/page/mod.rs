//! The page's files, embedded: no build step, no other origin, nothing that is not in this folder.

/// Files by path, with their types. Every view is the same document; its script reads the address.
const FILES: &[(&str, &str, &str)] = &[
    ("style.css", CSS, include_str!("style.css")),
    ("main.js", SCRIPT, include_str!("main.js")),
    ("state.js", SCRIPT, include_str!("state.js")),
    ("dom.js", SCRIPT, include_str!("dom.js")),
    ("icons.js", SCRIPT, include_str!("icons.js")),
    ("format.js", SCRIPT, include_str!("format.js")),
    ("search.js", SCRIPT, include_str!("search.js")),
    ("traces.js", SCRIPT, include_str!("traces.js")),
    ("trace.js", SCRIPT, include_str!("trace.js")),
    ("bars.js", SCRIPT, include_str!("bars.js")),
    ("rows.js", SCRIPT, include_str!("rows.js")),
    ("panel.js", SCRIPT, include_str!("panel.js")),
    ("services.js", SCRIPT, include_str!("services.js")),
    ("map.js", SCRIPT, include_str!("map.js")),
    ("layers.js", SCRIPT, include_str!("layers.js")),
    ("latency.js", SCRIPT, include_str!("latency.js")),
    ("compare.js", SCRIPT, include_str!("compare.js")),
];

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What browsers ask for unasked.
const ICON: &str = concat!(
    r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">"#,
    r##"<path d="M1.5 8h3l2-5 3 10 2-5h3" fill="none" stroke="#2a5bd7" stroke-width="2"/></svg>"##
);

const DOCUMENT: &str = include_str!("index.html");

/// What is at that path: its type and its bytes.
pub(crate) fn file(path: &str) -> Option<(&'static str, &'static [u8])> {
    if let Some(name) = path.strip_prefix("/assets/") {
        let (_, content_type, text) = FILES.iter().find(|(file, ..)| *file == name)?;
        return Some((content_type, text.as_bytes()));
    }
    if path == "/favicon.ico" {
        return Some(("image/svg+xml", ICON.as_bytes()));
    }
    let first = path.split('/').nth(1)?;
    let is_view = matches!(
        first,
        "" | "traces" | "services" | "map" | "latency" | "trace" | "compare" | "search"
    );
    is_view.then_some(("text/html; charset=utf-8", DOCUMENT.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        let files = FILES.iter().map(|(name, _, text)| (*name, *text));
        files.chain([("index.html", DOCUMENT)])
    }

    #[test]
    fn it_stays_small() {
        assert!(all().count() <= 18);
        let mut raw = 0;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        for (name, text) in all() {
            assert!(text.lines().count() <= 300, "{name} has {} lines", text.lines().count());
            encoder.write_all(text.as_bytes()).unwrap();
            raw += text.len();
        }
        let packed = encoder.finish().unwrap().len();
        assert!(raw <= 160_000, "{raw} bytes");
        assert!(packed <= 45_000, "{packed} bytes in gzip");
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
            assert_eq!(file(path).unwrap().0, "text/html; charset=utf-8");
        }
        for path in
            ["/assets/x.js", "/assets/../mod.rs", "/api/services", "/view/host", "/metrics", ""]
        {
            assert!(file(path).is_none(), "{path}");
        }
    }
}
