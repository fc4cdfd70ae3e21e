//! A trace as OTLP/JSON, for download: what any OTLP file reader takes.

use super::asked::trace as find;
use super::{Answered, Refused, Viewer};
use crate::viewer::outgoing::otlp;

/// `/view/trace/ID/otlp`
pub(super) fn trace(viewer: &Viewer, id: &str) -> Answered {
    let trace = find(viewer, id)?;
    serde_json::to_value(otlp(&trace)).map_err(|_| {
        Refused::new(hyper::StatusCode::INTERNAL_SERVER_ERROR, "The trace cannot be written.")
    })
}
