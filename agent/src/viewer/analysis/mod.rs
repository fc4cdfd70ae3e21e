//! What can be said of traces, computed once and here only: the page draws it, the terminal prints it.
//!
//! Pure functions of what the store holds. No clock, no lock, and no work that grows faster than n log n in the spans of
//! a trace: traces come from strangers.

mod clocks;
mod compare;
mod differs;
mod edges;
mod entry;
mod findings;
mod heat;
mod icon;
mod own;
mod pairs;
mod path;
mod red;
mod requests;
mod similar;
mod summary;
mod tree;
mod usual;
mod why;

pub(crate) use clocks::{Clock, Told as ToldClocks, has_hosts, is_moved, moved};
pub(crate) use compare::{Row, Side as ComparedSide, compare, typical};
pub(crate) use differs::{LEAST as LEAST_SELECTED, differs};
pub(crate) use edges::{Edge, Map as ServiceMap, Node, edges};
pub(crate) use findings::{Finding, findings};
pub(crate) use heat::{heat, row as heat_row};
pub(crate) use icon::icon;
pub(crate) use own::own_time;
pub(crate) use pairs::pairs;
pub(crate) use path::critical_path;
pub(crate) use red::{Side, Stats, Window, red};
pub(crate) use requests::{Request, request};
pub(crate) use similar::{Group, similar};
pub(crate) use summary::{Incomplete, Summary, has_lost, incomplete};
pub(crate) use tree::{Broken, NONE, Tree};
pub(crate) use usual::usual_calls;
pub(crate) use why::Reason;
