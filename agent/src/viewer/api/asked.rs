//! What a question says behind its `?`.

use hyper::StatusCode;
use serde_json::json;

use super::{Refused, Viewer};
use crate::viewer::analysis::{Request, Window, request};
use crate::viewer::search::{Mistake, Query, parse, read};
use crate::viewer::store::Trace;

/// Without a range: the last 15 minutes, ns.
const RANGE: u64 = 900 * SECOND;
const SECOND: u64 = 1_000_000_000;
/// A range until now is not made shorter than this, ns.
const SHORTEST: u64 = 15 * SECOND;

/// The parameters, decoded.
pub(crate) struct Asked {
    parameters: Vec<(String, String)>,
    pub(crate) now: u64,
    /// Since when all that was seen is known, ns since 1970.
    began: u64,
}

/// A trace that was found, and the request of it that the question is about.
pub(crate) type Found = (std::sync::Arc<Trace>, Request);

impl Asked {
    pub(crate) fn new(query: &str, now: u64) -> Self {
        Self::of(form_urlencoded::parse(query.as_bytes()).into_owned().collect(), now)
    }

    /// The same with parameters that are decoded already.
    pub(crate) const fn of(parameters: Vec<(String, String)>, now: u64) -> Self {
        Self { parameters, now, began: 0 }
    }

    /// Ranges until now begin no earlier than what is known: else a young agent would show rates that never were.
    pub(crate) fn since(mut self, began: u64) -> Self {
        self.began = began;
        self
    }

    /// The last one of that name that says anything.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().rev().find(|(key, _)| key == name)?;
        Some(found.1.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.parameters.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All of them, in their order.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// `t`: `15m` until now, or `FROM..TO` in ms since 1970.
    pub(crate) fn window(&self) -> Window {
        let given = self.get("t").and_then(|t| {
            if let Some((from, to)) = t.split_once("..") {
                let ms = |text: &str| text.parse::<u64>().ok()?.checked_mul(1_000_000);
                return Some(Window { from: ms(from)?, to: ms(to)? });
            }
            let digits = t.find(|c: char| !c.is_ascii_digit())?;
            let unit = match &t[digits..] {
                "s" => 1,
                "m" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => return None,
            };
            let length = t[..digits].parse::<u64>().ok()?.checked_mul(unit * SECOND)?;
            Some(self.until_now(length))
        });
        given.filter(|window| window.from < window.to).unwrap_or_else(|| self.until_now(RANGE))
    }

    fn until_now(&self, length: u64) -> Window {
        let known = self.now.saturating_sub(self.began).max(SHORTEST);
        Window { from: self.now.saturating_sub(length.min(known)), to: self.now }
    }

    /// The range before, just as long.
    pub(crate) fn before(&self) -> Window {
        let window = self.window();
        Window { from: window.from.saturating_sub(window.to - window.from), to: window.from }
    }

    /// Whether the store reaches back to the beginning of a range: what it never had cannot be compared with.
    pub(crate) fn is_known(&self, viewer: &Viewer, window: Window) -> bool {
        let tenth = (window.to - window.from) / 10;
        viewer.store().oldest().is_some_and(|oldest| oldest <= window.from + tenth)
    }

    /// `q`, understood.
    pub(crate) fn query(&self, viewer: &Viewer) -> Result<Query, Refused> {
        let text = self.get("q").unwrap_or("");
        let dictionary = viewer.store().dictionary();
        let understood = parse(text).and_then(|node| read(&node, &dictionary.keys()));
        understood.map_err(|mistake| refused(text, &mistake))
    }

    /// Traces of the range that match, each with its request.
    pub(crate) fn found(
        &self,
        viewer: &Viewer,
        window: Window,
    ) -> Result<(Query, Vec<Found>), Refused> {
        let query = self.query(viewer)?;
        let snapshot = viewer.store().between(window.from, window.to);
        let found = snapshot
            .traces
            .into_iter()
            .filter_map(|trace| {
                let request = request(&trace, &query.ask(&trace))?;
                window.has(request.start).then_some((trace, request))
            })
            .collect();
        Ok((query, found))
    }
}

/// A query that cannot be read: where, in UTF-16 units as the page counts, and what was expected.
fn refused(query: &str, mistake: &Mistake) -> Refused {
    let units = |to: usize| query.get(..to).map_or(0, |text| text.encode_utf16().count());
    Refused {
        status: StatusCode::BAD_REQUEST,
        body: json!({
            "error": mistake.text,
            "mistake": { "from": units(mistake.at.start), "to": units(mistake.at.end) },
        }),
    }
}

/// A trace's id in hex, of any length up to 32 digits.
pub(super) fn trace_id(text: &str) -> Result<u128, Refused> {
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let id = if fits { u128::from_str_radix(text, 16).ok() } else { None };
    id.ok_or_else(|| Refused::new(StatusCode::BAD_REQUEST, "A trace id is up to 32 hex digits."))
}

/// That trace, or when it left.
pub(super) fn trace(viewer: &Viewer, id: &str) -> Result<std::sync::Arc<Trace>, Refused> {
    let id = trace_id(id)?;
    if let Some(trace) = viewer.find(id) {
        return Ok(trace);
    }
    let store = viewer.store();
    Err(match store.gone(id) {
        Some(at) => Refused {
            status: StatusCode::GONE,
            body: json!({ "error": "It left the store.", "at": at.to_string(), "bytes": store.limits().bytes }),
        },
        None => Refused::not_found("No trace has this id."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_live_or_fixed() {
        let now = 10_000 * SECOND;
        let window = |t: &str| Asked::new(&format!("t={t}"), now).window();
        assert_eq!(window("5m"), Window { from: now - 300 * SECOND, to: now });
        assert_eq!(window("1000..2000"), Window { from: SECOND, to: 2 * SECOND });
        for odd in
            ["", "2000..1000", "m", "5", "-1m", "99999999999999999999h", "18446744073709551615..1"]
        {
            assert_eq!(window(odd), Window { from: now - RANGE, to: now }, "{odd}");
        }
        let young = |t: &str, began| Asked::new(t, now).since(began).window().from;
        assert_eq!(young("t=15m", now - 60 * SECOND), now - 60 * SECOND);
        assert_eq!(young("t=30s", now - 60 * SECOND), now - 30 * SECOND);
        assert_eq!(young("", now - SECOND), now - SHORTEST);
        assert_eq!(young("t=1000..2000", now), SECOND);
        assert_eq!(Asked::new("t=1000..2000", now).before(), Window { from: 0, to: SECOND });
    }

    #[test]
    fn parameters_are_decoded() {
        let asked = Asked::new("q=a%3D1+b&x=&x=2&tag=1&tag=2", 0);
        assert_eq!(asked.get("q"), Some("a=1 b"));
        assert_eq!(asked.number("x"), Some(2));
        assert_eq!(asked.all("tag").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(asked.get("none"), None);
        assert!(
            trace_id("xyz").is_err() && trace_id("").is_err() && trace_id(&"1".repeat(33)).is_err()
        );
        assert_eq!(trace_id("0a").unwrap(), 10);
    }
}
