//! What was seen of one service's paths, segment by segment, and which of its segments are certain.
//!
//! A node is a place in a path: what came before it, with `{id}` for ids. A value that has become certain, and a place
//! that has become variable, stay so; a route is only told of when all its segments are certain. So no path ever has
//! two routes.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::segment::Kind;
use super::words;
use crate::hash::Map;

/// Nodes of a service: also its most routes. Nothing that people wrote by hand has more.
const NODES: usize = 256;
/// Values at a place that are kept apart. Where there are more, they are no parts of a program, unless it is the top.
const VALUES: usize = 64;
/// Segments of a path. Longer ones are files.
const DEPTH: usize = 12;
/// Requests through a place without a new value, from which on it is settled; and so many for each value it has.
const SETTLED: u64 = 50;
const SETTLED_EACH: u64 = 10;
/// Requests with a value before it may be certain; looked at again after as many more.
const SEEN: u32 = 10;
/// Different ids beside a word that make it a part of the program: `/orders/{id}`, `/{id}/items`.
const IDS: usize = 8;
/// What stands for an id.
const ID: &str = "{id}";

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All of it is certain.
    Route(String),
    /// Something is not certain, yet or for good.
    Uncertain,
    /// There is no room for it.
    Full,
}

/// A service's paths.
#[derive(Debug)]
pub(super) struct Tree {
    /// The first is the root.
    nodes: Vec<Node>,
    /// Nodes that can be used again.
    free: Vec<usize>,
}

/// Where a place is, which says what a word there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the beginning, or after `api` and the like: the parts of the program, of which there are some.
    Top,
    /// After an id: what that has or can do.
    AfterId,
    /// After a word: what it has or can do, or one of its things.
    AfterWord {
        /// One of its things: the word is a plural, or says what is done.
        things: bool,
    },
}

#[derive(Debug)]
struct Node {
    place: Place,
    values: Map<Box<str>, Value>,
    /// How many of them were not certain from the first.
    unknown: usize,
    /// Requests with an unknown word or something odd here since the last new one.
    since_new: u64,
    /// There were too many values: what is not certain never will be, and is any one of them unless this is the top.
    overfull: bool,
    /// What follows an id here.
    id: Option<usize>,
    /// A request that ended here has been answered well.
    answered: bool,
}

/// A word, or something odd, at a place.
#[derive(Debug, Default)]
struct Value {
    seen: u32,
    certain: bool,
    child: Option<usize>,
    /// Different ids seen before it, and after it.
    before: Ids,
    after: Ids,
}

/// A few different ids.
#[derive(Debug, Default)]
struct Ids(Vec<u64>);

impl Ids {
    fn add(&mut self, id: Option<u64>) {
        if let Some(id) = id
            && self.0.len() < IDS
            && !self.0.contains(&id)
        {
            self.0.push(id);
        }
    }

    fn are_many(&self) -> bool {
        self.0.len() >= IDS
    }
}

/// Where a segment leads.
enum Step {
    /// It is itself.
    Certain(usize),
    /// It is one of many.
    AnyOne(usize),
    /// It may be either.
    Uncertain(usize),
    /// Nowhere: it is not followed any further.
    Lost,
    /// Nowhere, for want of room.
    Full,
}

impl Node {
    fn at(place: Place) -> Self {
        Self {
            place,
            values: Map::default(),
            unknown: 0,
            since_new: 0,
            overfull: false,
            id: None,
            answered: false,
        }
    }

    /// A request with this value, kept and not certain until now. Whether that was the last that was missing.
    fn seen(&mut self, segment: &str, kind: Kind, ids: (Option<u64>, Option<u64>)) -> bool {
        let Some(value) = self.values.get_mut(segment) else { return false };
        self.since_new += 1;
        value.seen = value.seen.saturating_add(1);
        value.before.add(ids.0);
        value.after.add(ids.1);
        let settled = SETTLED.max(SETTLED_EACH * self.unknown as u64);
        let by_place = match self.place {
            Place::Top => true,
            Place::AfterId => value.before.are_many(),
            Place::AfterWord { things } => !things && value.after.are_many(),
        };
        kind == Kind::Word && by_place && self.since_new >= settled && value.seen % SEEN == 0
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::at(Place::Top)], free: Vec::new() }
    }
}

impl Tree {
    /// The route of a path; `teaches`: it was answered well, so it is one of the service's.
    pub(super) fn visit(&mut self, path: &str, teaches: bool) -> Found {
        let Some(segments) = segments(path) else { return Found::Uncertain };
        let id_at = |i: usize| {
            let segment = segments.get(i)?;
            (Kind::of(segment) == Kind::Id).then(|| hash(segment))
        };
        let mut route = String::new();
        let mut certain = true;
        let mut here = 0;
        for (i, segment) in segments.iter().enumerate() {
            let ids = || (i.checked_sub(1).and_then(id_at), id_at(i + 1));
            let step = self.step(here, segment, ids, teaches);
            route.push('/');
            here = match step {
                Step::Certain(next) => {
                    route.push_str(segment);
                    next
                }
                Step::AnyOne(next) => {
                    route.push_str(ID);
                    next
                }
                Step::Uncertain(next) => {
                    certain = false;
                    next
                }
                Step::Lost => return Found::Uncertain,
                Step::Full => return Found::Full,
            };
        }
        let node = &mut self.nodes[here];
        node.answered |= teaches;
        if !certain || !node.answered {
            return Found::Uncertain;
        }
        if route.is_empty() {
            route.push('/');
        }
        Found::Route(route)
    }

    /// One segment further, and what is learned from it.
    fn step(
        &mut self,
        here: usize,
        segment: &str,
        ids: impl Fn() -> (Option<u64>, Option<u64>),
        teaches: bool,
    ) -> Step {
        if words::is_known(segment) {
            return self.known(here, segment, teaches);
        }
        let kind = Kind::of(segment);
        let node = &self.nodes[here];
        let value = node.values.get(segment);
        match value {
            _ if kind == Kind::Id => return self.any_one(here, teaches),
            Some(value) if value.certain => {
                return value.child.map_or(Step::Lost, Step::Certain);
            }
            _ if node.overfull && node.place == Place::Top => return Step::Lost,
            _ if node.overfull => return self.any_one(here, teaches),
            None if !teaches => return Step::Lost,
            None if node.unknown >= VALUES => {
                self.overfill(here);
                return if self.nodes[here].place == Place::Top {
                    Step::Lost
                } else {
                    self.any_one(here, teaches)
                };
            }
            None => {
                let child = if kind == Kind::Word {
                    let place = Place::AfterWord { things: segment.ends_with('s') };
                    let Some(child) = self.place(place) else { return Step::Full };
                    Some(child)
                } else {
                    None
                };
                let node = &mut self.nodes[here];
                node.since_new = 0;
                node.unknown += 1;
                node.values.insert(segment.into(), Value { child, ..Value::default() });
            }
            Some(_) => {}
        }
        if teaches
            && self.nodes[here].seen(segment, kind, ids())
            && !self.has_likeness(here, segment)
            && let Some(value) = self.nodes[here].values.get_mut(segment)
        {
            value.certain = true;
        }
        match self.nodes[here].values.get(segment) {
            Some(Value { child: Some(child), certain: true, .. }) => Step::Certain(*child),
            Some(Value { child: Some(child), .. }) => Step::Uncertain(*child),
            _ => Step::Lost,
        }
    }

    /// Whether a value is followed by a word that follows another value at this place, too: then the two may be things of
    /// one kind, as customers that each have `/orders`.
    fn has_likeness(&self, here: usize, segment: &str) -> bool {
        let words = |value: &Value| {
            let values = value.child.map(|child| &self.nodes[child].values);
            values.into_iter().flat_map(Map::keys).filter(|word| !words::is_known(word))
        };
        let node = &self.nodes[here];
        let Some(own) = node.values.get(segment) else { return false };
        let mut others =
            node.values.iter().filter(|(other, _)| ***other != *segment && !words::is_known(other));
        others.any(|(_, other)| words(other).any(|word| words(own).any(|mine| mine == word)))
    }

    /// A word that is certain wherever it stands.
    fn known(&mut self, here: usize, segment: &str, teaches: bool) -> Step {
        if let Some(value) = self.nodes[here].values.get(segment) {
            return value.child.map_or(Step::Lost, Step::Certain);
        }
        if !teaches {
            return Step::Lost;
        }
        let place =
            if words::is_prefix(segment) { Place::Top } else { Place::AfterWord { things: true } };
        let Some(child) = self.place(place) else { return Step::Full };
        let value = Value { certain: true, child: Some(child), ..Value::default() };
        self.nodes[here].values.insert(segment.into(), value);
        Step::Certain(child)
    }

    /// What follows an id.
    fn any_one(&mut self, here: usize, teaches: bool) -> Step {
        if let Some(next) = self.nodes[here].id {
            return Step::AnyOne(next);
        }
        if !teaches {
            return Step::Lost;
        }
        let Some(next) = self.place(Place::AfterId) else { return Step::Full };
        self.nodes[here].id = Some(next);
        Step::AnyOne(next)
    }

    /// There are too many values at a place: those that are not certain are given up, with all that follows them.
    fn overfill(&mut self, here: usize) {
        let node = &mut self.nodes[here];
        node.overfull = true;
        let mut gone: Vec<usize> = Vec::new();
        node.values.retain(|_, value| {
            if !value.certain {
                gone.extend(value.child);
            }
            value.certain
        });
        while let Some(index) = gone.pop() {
            let node = std::mem::replace(&mut self.nodes[index], Node::at(Place::Top));
            gone.extend(node.id);
            gone.extend(node.values.values().filter_map(|value| value.child));
            self.free.push(index);
        }
    }

    /// A new node, if there is room.
    fn place(&mut self, place: Place) -> Option<usize> {
        if let Some(index) = self.free.pop() {
            self.nodes[index] = Node::at(place);
            return Some(index);
        }
        (self.nodes.len() < NODES).then(|| {
            self.nodes.push(Node::at(place));
            self.nodes.len() - 1
        })
    }

    /// How many nodes are in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}

/// The segments of a path, without empty ones and without parameters (RFC 3986 §3.3). `None` for what is no plain path.
fn segments(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix('/')?;
    let mut segments = Vec::new();
    for segment in rest.split('/') {
        let segment = segment.split(';').next().unwrap_or_default();
        match segment {
            "" => {}
            "." | ".." => return None,
            _ if segments.len() == DEPTH => return None,
            _ => segments.push(segment),
        }
    }
    Some(segments)
}

fn hash(segment: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    segment.hash(&mut hasher);
    hasher.finish()
}
