//! The rules of single requests: which of them are checks (`checks`), and what their routes are (`routes`).
//!
//! ```yaml
//! checks:
//!   - defaults
//!   - path: /ping
//!   - {user_agent: Nagios/, path: /status*}
//! routes:
//!   - path: /stock/{item}
//!   - {service: shop, path: /static/*, route: ""}
//! ```

use super::document::{Node, Value};
use super::list::Reader;
use crate::trace::{CheckRule, RouteRule};

/// Stands for the rules that hold where none are given.
const DEFAULTS: &str = "defaults";

/// Reads the list of checks: it holds instead of the default rules.
pub(super) fn checks(reader: &mut Reader<'_>, node: Node) -> Vec<CheckRule> {
    let mut rules = Vec::new();
    for node in reader.elements(node) {
        let line = node.line;
        match node.value {
            Value::Scalar(text) if text == DEFAULTS => rules.extend(CheckRule::defaults()),
            Value::Map(entries) => {
                let [user_agent, path] = reader.texts_of(entries, ["user_agent", "path"]);
                if let Some((line, path)) = &path {
                    begins_well(reader, *line, path);
                }
                let text = |part: Option<(usize, String)>| {
                    part.map(|(_, text)| text).filter(|text| !text.is_empty())
                };
                let rule = CheckRule { user_agent: text(user_agent), path: text(path) };
                if rule == CheckRule::default() {
                    reader.problem(line, "a rule has `user_agent` or `path`".to_owned());
                }
                rules.push(rule);
            }
            _ => {
                let why = "a rule is `defaults`, or a mapping with `user_agent` or `path`";
                reader.problem(line, why.to_owned());
            }
        }
    }
    rules
}

/// Reads the list of routes.
pub(super) fn routes(reader: &mut Reader<'_>, node: Node) -> Vec<RouteRule> {
    let mut rules = Vec::new();
    for node in reader.elements(node) {
        let line = node.line;
        let Value::Map(entries) = node.value else {
            reader.problem(line, "a rule is a mapping with `path`".to_owned());
            continue;
        };
        let [service, path, route] = reader.texts_of(entries, ["service", "path", "route"]);
        let Some((line, path)) = path else {
            reader.problem(line, "a rule has `path`".to_owned());
            continue;
        };
        begins_well(reader, line, &path);
        if path.split('/').rev().skip(1).any(|segment| segment == "*") {
            reader.problem(line, "`*` stands for a rest, and only at the end".to_owned());
        }
        let text = |part: Option<(usize, String)>| part.map(|(_, text)| text);
        rules.push(RouteRule { service: text(service), path, route: text(route) });
    }
    rules
}

/// Paths of requests begin with a slash: another pattern fits none.
fn begins_well(reader: &mut Reader<'_>, line: usize, path: &str) {
    if !path.starts_with('/') && path != "*" {
        reader.problem(line, format!("{path:?} does not begin with `/`"));
    }
}
