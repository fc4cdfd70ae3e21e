//! Requests that are open for long: a stream becomes a span at its end, and is shown until then.
//!
//! A view of the contexts, made when it is asked for: it keeps nothing and costs what it shows.

use crate::exchange::Role;
use crate::status::OpenRequest;
use crate::trace::Tracer;
use crate::trace::context::Context;
use crate::trace::url::Target;

/// Requests that are open for long at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Active {
    /// How many there are.
    pub count: u64,
    /// The oldest of them, oldest first.
    pub oldest: Vec<OpenRequest>,
}

impl Tracer {
    /// Requests that are open for longer than [`active_after`](crate::trace::Settings::active_after), `most` of them by name.
    #[must_use]
    pub fn active(&self, most: usize) -> Active {
        let mut active = Active::default();
        // In the order of their arrival, which is that of their beginnings but for a moment.
        for context in self.contexts.live_by_arrival() {
            let open = self.now.since(context.at);
            if open < self.settings.active_after {
                break;
            }
            if context.end.is_some() {
                continue;
            }
            active.count += 1;
            if active.oldest.len() < most {
                active.oldest.push(shown(context, open));
            }
        }
        active
    }
}

fn shown(context: &Context, open_ns: u64) -> OpenRequest {
    let service = context.service.as_ref().map_or("unknown_service", |service| &service.name);
    OpenRequest {
        service: service.to_owned(),
        kind: match context.role {
            Role::Server => "server".into(),
            Role::Client => "client".into(),
        },
        method: context.asked.method.clone(),
        path: Target::asked(&context.asked).path.to_owned(),
        pid: context.task.pid,
        open_ns,
    }
}
