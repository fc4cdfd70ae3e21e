//! Requests that are still under way, put into the traces that they belong to, for as long as they last.
//!
//! The agent names them with its numbers, once a second; they are no spans yet and are never stored. Whatever is said of
//! a trace in numbers is said without them: nobody knows how long they will take.

use std::sync::Arc;

use super::attributes::Attributes;
use super::operation::operation;
use super::span::{Kind, Process, Span, trace_hex};
use super::store::Trace;
use crate::service::attribute::{number, text};
use crate::status::OpenRequest;

/// Those of `open` that are in this trace and not finished.
pub(crate) fn of_trace<'a>(
    trace: &'a Trace,
    open: &'a [OpenRequest],
) -> impl Iterator<Item = (u64, &'a OpenRequest)> {
    let hex = trace_hex(trace.id);
    open.iter()
        .filter(move |request| request.trace.as_deref() == Some(hex.as_str()))
        .filter_map(|request| Some((u64::from_str_radix(&request.span, 16).ok()?, request)))
        // Its span may have come sooner than the numbers that no longer name it.
        .filter(|(id, _)| trace.spans.iter().all(|span| span.id != *id))
}

/// The trace with what is under way in it, each as a span until `now` behind all others; `None` where there is nothing.
pub(crate) fn with(trace: &Trace, open: &[OpenRequest], now: u64) -> Option<Trace> {
    let mut whole = None;
    for (id, request) in of_trace(trace, open) {
        whole.get_or_insert_with(|| trace.clone()).add(span(trace, id, request, now), now);
    }
    whole
}

fn span(trace: &Trace, id: u64, request: &OpenRequest, now: u64) -> Span {
    let mut writer = trace.dictionary.writer();
    let said = [
        text("http.request.method", &*request.method),
        text("url.path", &*request.path),
        number("spanwire.process.pid", request.pid),
    ];
    let known = trace.spans.iter().find(|span| **span.service() == *request.service);
    let process = known.map_or_else(
        || {
            let service = request.service.as_str().into();
            Arc::new(Process { service, attributes: Attributes::default() })
        },
        |span| span.process.clone(),
    );
    let parent = request.parent.as_deref();
    Span {
        id,
        parent: parent.and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0),
        start: request.start,
        end: now.max(request.start),
        kind: if request.kind == "server" { Kind::Server } else { Kind::Client },
        failed: false,
        remote_parent: false,
        process,
        name: request.method.as_str().into(),
        operation: operation(&request.method, &said).into(),
        peer: None,
        scope: "".into(),
        attributes: Attributes::pack(&said, &mut writer),
        more: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::analysis::Tree;
    use crate::viewer::sample::{BEGIN, MS, Sample};

    #[test]
    fn a_caller_that_is_still_open_is_no_missing_one() {
        let trace = Sample::new(7)
            .span((2, 1), Kind::Client, ("shop", "GET"), (10, 20), &[])
            .span((3, 1), Kind::Client, ("shop", "GET"), (30, 40), &[])
            .trace();
        let open = |span: &str, trace: Option<&str>| OpenRequest {
            service: "shop".into(),
            kind: "server".into(),
            method: "GET".into(),
            path: "/events/7".into(),
            start: BEGIN,
            span: span.into(),
            trace: trace.map(str::to_owned),
            ..OpenRequest::default()
        };
        let here = format!("{:032x}", 7);
        let all = [
            open(&format!("{:016x}", 1), Some(&here)),
            // Finished meanwhile, of another trace, of none yet, and nonsense.
            open(&format!("{:016x}", 2), Some(&here)),
            open(&format!("{:016x}", 9), Some("8")),
            open(&format!("{:016x}", 10), None),
            open("x", Some(&here)),
        ];
        let now = BEGIN + 5_000 * MS;
        let whole = with(&trace, &all, now).expect("one is open");
        assert_eq!(whole.spans.len(), 3);
        let tree = Tree::of(&whole);
        assert_eq!((tree.roots.as_slice(), tree.children(2)), (&[2][..], &[0, 1][..]));
        let span = &whole.spans[2];
        assert_eq!((&*span.operation, span.start, span.end), ("GET /events/{id}", BEGIN, now));
        assert!(Arc::ptr_eq(&span.process, &whole.spans[0].process));
        assert!(with(&trace, &all[1..], now).is_none());
    }
}
