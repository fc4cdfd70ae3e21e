//! What an exchange says of itself, written down as soon as it is over.
//!
//! A span waits for its place in a trace longer than for anything else, tens of thousands of them at once. What its exchange
//! said does not depend on that place: written, it is one piece of memory instead of a dozen, and is looked at once more.
#![forbid(unsafe_code)]

use opentelemetry_proto::tonic::trace::v1::Status;

use crate::exchange::{Call, Finished, OnCpu, Role};
use crate::input::Nanos;
use crate::trace::context::Context;
use crate::trace::span_writer::{Place, SpanWriter};
use crate::trace::{Settings, http, rpc};

/// An exchange that is over.
#[derive(Debug)]
pub(in crate::trace) struct Described {
    /// Instrumentation scope.
    pub scope: &'static str,
    /// Attributes and status, as [`SpanWriter`] has them.
    pub written: Box<[u8]>,
    /// The span's name, without its route.
    pub name: Name,
    /// HTTP servers: the path that the route is known by.
    pub path: Option<Place>,
    /// HTTP: the final status code.
    pub status_code: Option<u16>,
    /// When the answer's first byte moved, if one did.
    pub first_answer: Option<Nanos>,
    /// See [`Finished::on_cpu`].
    pub on_cpu: Option<OnCpu>,
}

/// What a protocol says beside what it writes.
pub(in crate::trace) struct Said {
    /// The span's name.
    pub name: Name,
    /// See [`Described::path`].
    pub path: Option<Place>,
    /// `None`: unset.
    pub status: Option<Status>,
}

/// A span's name.
#[derive(Clone, Copy, Debug)]
pub(in crate::trace) enum Name {
    /// It is the value of an attribute.
    Written(Place),
    /// It is this.
    Fixed(&'static str),
}

impl Name {
    /// The name, of what was written.
    pub(in crate::trace) fn of(self, written: &[u8]) -> &str {
        match self {
            Self::Written(place) => place.of(written),
            Self::Fixed(name) => name,
        }
    }
}

impl Described {
    /// The exchange that this context is of.
    pub(in crate::trace) fn new(
        context: &Context,
        finished: &Finished,
        settings: &Settings,
        out: &mut SpanWriter,
    ) -> Self {
        let (role, conn) = (context.role, &*context.conn);
        out.begin();
        let (scope, said, status_code) = match &finished.call {
            Call::Http(call) => {
                let said = http::describe(call, finished, role, conn, settings, out);
                (http::SCOPE, said, call.status)
            }
            Call::Rpc(call) => {
                (rpc::SCOPE, rpc::describe(call, finished, role, conn, context.at, out), None)
            }
        };
        out.status(&said.status.unwrap_or_default());
        Self {
            scope,
            written: out.written().into(),
            name: said.name,
            path: said.path.filter(|_| role == Role::Server),
            status_code,
            first_answer: finished.first_answer,
            on_cpu: finished.on_cpu,
        }
    }
}
