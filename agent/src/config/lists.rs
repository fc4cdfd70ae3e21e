//! The lists of rules that the file has.

use std::collections::BTreeMap;

use super::document::{Node, Value};
use super::list::Reader;
use super::problem::Problem;
use super::{keys, requests, rules};
use crate::selection::Selection;
use crate::trace::{CheckRule, RouteRule};

/// What the file's lists say.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub selection: Selection,
    pub checks: Option<Vec<CheckRule>>,
    pub routes: Vec<RouteRule>,
}

impl Lists {
    /// Reads the lists that are there; what is wrong with any is added to `problems`.
    pub(super) fn read(
        file: &str,
        mut lists: BTreeMap<&'static str, Node>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut read = Self::default();
        if let Some(node) = lists.remove(keys::SELECT) {
            read.selection = rules::selection(file, node, problems);
        }
        // Nothing is not an empty list: who wants no rule says so.
        let is_set = |node: &Node| node.value != Value::Scalar(String::new());
        let mut reader = Reader { file, key: keys::CHECKS, problems };
        if let Some(node) = lists.remove(keys::CHECKS).filter(is_set) {
            read.checks = Some(requests::checks(&mut reader, node));
        }
        reader.key = keys::ROUTES;
        if let Some(node) = lists.remove(keys::ROUTES) {
            read.routes = requests::routes(&mut reader, node);
        }
        read
    }
}
