//! Requests that are under way: each becomes a span at its end, and is shown until then if that takes long.
//!
//! A view of the contexts, made when it is asked for: it keeps nothing and costs what it shows.

use crate::exchange::Role;
use crate::status::OpenRequest;
use crate::trace::Tracer;
use crate::trace::context::{Context, SpanId};
use crate::trace::sampler;
use crate::trace::url::Target;

/// Requests that are open at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Active {
    /// How many are open for longer than [`active_after`](crate::trace::Settings::active_after).
    pub count: u64,
    /// Those that are open for longer than [`shown_after`](crate::trace::Settings::shown_after), oldest first.
    pub oldest: Vec<OpenRequest>,
}

impl Tracer {
    /// Requests that are open, `most` of them by name. Decides nothing: what has no trace yet is shown without.
    #[must_use]
    pub fn active(&self, most: usize) -> Active {
        let mut active = Active::default();
        let shown_after = self.settings.shown_after.min(self.settings.active_after);
        // In the order of their arrival, which is that of their beginnings but for a moment.
        for (span, context) in self.contexts.live_spans() {
            let open = self.now.since(context.at);
            if open < shown_after {
                break;
            }
            if context.end.is_some() {
                continue;
            }
            active.count += u64::from(open >= self.settings.active_after);
            if active.oldest.len() < most {
                active.oldest.push(self.shown(span, context, open));
            } else if open < self.settings.active_after {
                break;
            }
        }
        active
    }

    fn shown(&self, span: SpanId, context: &Context, open_ns: u64) -> OpenRequest {
        let pending = context.pending.as_deref();
        let service = pending.and_then(|pending| pending.service.as_ref());
        let asked = pending.map(|pending| &pending.asked);
        let fixed = context.fixed.as_ref().filter(|fixed| sampler::exports(fixed.flags));
        let parent = fixed.and_then(|fixed| fixed.parent);
        let offset = pending.and_then(|pending| pending.wall_offset).or(self.wall_offset);
        OpenRequest {
            service: service.map_or("unknown_service", |service| &service.name).to_owned(),
            kind: match context.role {
                Role::Server => "server".into(),
                Role::Client => "client".into(),
            },
            method: asked.map(|asked| asked.method.clone()).unwrap_or_default(),
            path: asked.map(|asked| Target::asked(asked).path.to_owned()).unwrap_or_default(),
            pid: context.task.pid,
            open_ns,
            long: open_ns >= self.settings.active_after,
            start: self.began(context).0.saturating_add_signed(offset.unwrap_or(0)),
            span: format!("{span:016x}"),
            trace: fixed.map(|fixed| format!("{:032x}", u128::from_be_bytes(fixed.trace))),
            parent: parent.map(|(parent, _)| format!("{parent:016x}")),
        }
    }
}
