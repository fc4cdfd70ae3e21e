//! Legal conversations by chance: what is sent, and what is true about it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::protocols::http2::frame::{flag, kind};
use crate::protocols::http2::framer::PREFACE;
use crate::protocols::http2::hpack::tests::encoder::{Encoder, Habit, Pair};
use crate::protocols::http2::notation::{frame, message};
use crate::protocols::http2::stream::Part;

/// How one call goes.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    grpc: bool,
    method: &'static str,
    path: String,
    /// Lengths of the DATA of each side.
    request: Vec<u32>,
    answer: Vec<u32>,
    request_trailers: bool,
    interim: bool,
    status: u16,
    grpc_status: u32,
    /// The answer has trailers; gRPC has them always, or is Trailers-Only.
    trailers: bool,
    ending: Ending,
    habits: Vec<Habit>,
    shape: Shape,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Complete,
    /// After so many frames of the answer, by the client or the server, with this code.
    Reset(usize, Part, u32),
    /// It does not, after so many frames of the answer.
    Never(usize),
}

/// How its frames look.
#[derive(Clone, Copy, Debug)]
struct Shape {
    pad: u8,
    priority: bool,
    /// A header block is cut into fragments of so many octets.
    fragment: usize,
}

/// What is true about a call.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) grpc: bool,
    pub(super) method: String,
    pub(super) path: String,
    /// Of the answer's head, if it was sent.
    pub(super) status: Option<u16>,
    /// Of gRPC, if it was sent.
    pub(super) grpc_status: Option<u32>,
    pub(super) ending: Ending,
    /// DATA of the request: octets and frames.
    pub(super) request: (u64, u64),
    /// It was complete before the answer was.
    pub(super) request_first: bool,
    /// DATA of the answer, if that was complete.
    pub(super) answer: Option<(u64, u64)>,
}

/// A stretch of one direction.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) part: Part,
    pub(super) bytes: Vec<u8>,
    /// It may be left out on purpose.
    pub(super) skippable: bool,
}

/// A conversation.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    pub(super) chunks: Vec<Chunk>,
    /// By the position of the request's first octet in its direction.
    pub(super) truth: BTreeMap<u64, Truth>,
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let ending = prop_oneof![
        8 => Just(Ending::Complete),
        1 => (0usize..4, prop_oneof![Just(Part::Request), Just(Part::Answer)], 0u32..14)
            .prop_map(|(after, by, code)| Ending::Reset(after, by, code)),
        1 => (0usize..4).prop_map(Ending::Never),
    ];
    let data = || proptest::collection::vec(prop_oneof![0u32..20, 100u32..3000], 0..4);
    let shape = (prop_oneof![3 => Just(0u8), 1 => 1u8..20], any::<bool>(), 1usize..200)
        .prop_map(|(pad, priority, fragment)| Shape { pad, priority, fragment });
    (
        (
            any::<bool>(),
            prop_oneof![Just("GET"), Just("POST"), Just("PURGE")],
            "/[a-c]{1,2}/[x-z]{1,3}",
        ),
        (data(), data()),
        any::<(bool, bool, bool)>(),
        (prop_oneof![Just(200u16), Just(204), Just(404), Just(503), Just(299)], 0u32..17),
        (ending, shape, proptest::collection::vec(Habit::any(), 1..12)),
    )
        .prop_map(
            |(what, (request, answer), flags, (status, grpc_status), (ending, shape, habits))| {
                let (grpc, method, path) = what;
                let (request_trailers, interim, trailers) = flags;
                Plan {
                    grpc,
                    method: if grpc { "POST" } else { method },
                    path,
                    request,
                    answer,
                    request_trailers,
                    interim,
                    status: if grpc { 200 } else { status },
                    grpc_status,
                    trailers,
                    ending,
                    habits,
                    shape,
                }
            },
        )
}

/// A frame that is to be sent.
#[derive(Clone, Debug)]
enum Step {
    Head(Vec<Pair>, bool),
    Data(u32, bool),
    Reset(u32),
}

/// Who does what next, until nothing is left.
pub(super) fn conversation(plans: &[Plan], turns: &[u8]) -> Conversation {
    let mut writer = Writer::default();
    writer.control(Part::Request, PREFACE.to_vec());
    writer.control(Part::Request, frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0], None));
    writer.control(Part::Answer, frame(kind::SETTINGS, 0, 0, &[], None));
    writer.control(Part::Answer, frame(kind::SETTINGS, flag::ACK, 0, &[], None));
    let mut waiting = plans.iter().rev().collect::<Vec<_>>();
    let mut open: Vec<Call<'_>> = Vec::new();
    let mut number = 1;
    let mut turns = turns.iter().copied().chain([1]).cycle();
    while !waiting.is_empty() || !open.is_empty() {
        let turn = usize::from(turns.next().unwrap_or(0));
        if turn % 11 == 10 {
            writer.control(Part::Request, frame(kind::PING, 0, 0, &[1; 8], None));
            writer.control(Part::Answer, frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0], None));
        }
        let may_begin = !waiting.is_empty() && open.len() < 5;
        if may_begin && (open.is_empty() || turn % 3 == 0) {
            if let Some(plan) = waiting.pop() {
                open.push(Call::begin(plan, number, &mut writer));
                number += 2;
            }
            continue;
        }
        let at = turn / 3 % open.len();
        if open[at].go_on(turn % 2 == 0, &mut writer) {
            open.swap_remove(at);
        }
    }
    writer.conversation
}

/// A call that is under way.
struct Call<'a> {
    plan: &'a Plan,
    number: u32,
    position: u64,
    /// Last first.
    request: Vec<Step>,
    answer: Vec<Step>,
    habits: std::iter::Cycle<std::iter::Copied<std::slice::Iter<'a, Habit>>>,
}

fn pairs(fields: &[(&str, &str)]) -> Vec<Pair> {
    fields
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

impl<'a> Call<'a> {
    fn begin(plan: &'a Plan, number: u32, writer: &mut Writer) -> Self {
        let mut fields = vec![
            (":method", plan.method),
            (":scheme", "http"),
            (":path", &plan.path),
            (":authority", "shop:50051"),
        ];
        if plan.grpc {
            fields.extend([("content-type", "application/grpc"), ("te", "trailers")]);
        }
        let trailers = plan.request_trailers && !plan.grpc;
        let mut request = vec![Step::Head(pairs(&fields), plan.request.is_empty() && !trailers)];
        for (n, octets) in plan.request.iter().enumerate() {
            request.push(Step::Data(*octets, n + 1 == plan.request.len() && !trailers));
        }
        if trailers {
            request.push(Step::Head(pairs(&[("x-sum", "77")]), true));
        }
        let mut answer = answer(plan);
        let (after, last) = match plan.ending {
            Ending::Complete => (answer.len(), None),
            Ending::Reset(after, by, code) => (after, Some((by, code))),
            Ending::Never(after) => (after, None),
        };
        let is_cut = plan.ending != Ending::Complete;
        // What is cut has not ended.
        answer.truncate(after.min(answer.len() - usize::from(is_cut)));
        if let Some((by, code)) = last {
            match by {
                Part::Request => request.push(Step::Reset(code)),
                Part::Answer => answer.push(Step::Reset(code)),
            }
        }
        request.reverse();
        answer.reverse();
        let position = writer.positions[Part::Request as usize];
        writer.conversation.truth.insert(
            position,
            Truth {
                grpc: plan.grpc,
                method: plan.method.to_owned(),
                path: plan.path.clone(),
                status: None,
                grpc_status: None,
                ending: plan.ending,
                request: plan.sum(&plan.request),
                request_first: false,
                answer: None,
            },
        );
        let habits = plan.habits.iter().copied().cycle();
        let mut call = Self { plan, number, position, request, answer, habits };
        call.step(Part::Request, writer);
        call
    }

    /// Sends the next frame of either side: whether nothing is left.
    fn go_on(&mut self, request_first: bool, writer: &mut Writer) -> bool {
        // A reset is the last of all.
        let waits = |steps: &[Step], other: &[Step]| {
            matches!(steps.last(), Some(Step::Reset(_))) && !other.is_empty()
        };
        let part = match (self.request.is_empty(), self.answer.is_empty()) {
            (true, true) => return true,
            (false, true) => Part::Request,
            (true, false) => Part::Answer,
            _ if waits(&self.request, &self.answer) => Part::Answer,
            _ if waits(&self.answer, &self.request) => Part::Request,
            _ if request_first => Part::Request,
            _ => Part::Answer,
        };
        self.step(part, writer);
        self.request.is_empty() && self.answer.is_empty()
    }

    fn step(&mut self, part: Part, writer: &mut Writer) {
        let steps = if part == Part::Request { &mut self.request } else { &mut self.answer };
        let Some(step) = steps.pop() else { return };
        let shape = self.plan.shape;
        match &step {
            Step::Head(fields, end) => {
                let mut block = Vec::new();
                for field in fields {
                    let habit = self.habits.next().expect("at least one habit");
                    writer.encoders[part as usize].field(field, habit, &mut block);
                }
                writer.block(part, self.number, &block, *end, shape);
            }
            Step::Data(octets, end) => {
                let data =
                    if self.plan.grpc { message(*octets) } else { vec![b'd'; *octets as usize] };
                writer.data(part, self.number, &data, *end, shape);
            }
            Step::Reset(code) => {
                let code = code.to_be_bytes();
                writer.control(part, frame(kind::RST_STREAM, 0, self.number, &code, None));
            }
        }
        let request_done = self.request.is_empty();
        if part == Part::Answer
            && let Some(truth) = writer.conversation.truth.get_mut(&self.position)
        {
            self.plan.tell(&step, request_done, truth);
        }
    }
}

impl Plan {
    /// Octets and frames.
    fn sum(&self, data: &[u32]) -> (u64, u64) {
        let prefix = if self.grpc { 5 } else { 0 };
        (data.iter().map(|n| u64::from(*n) + prefix).sum(), data.len() as u64)
    }

    /// What a frame of the answer makes true.
    fn tell(&self, step: &Step, request_done: bool, truth: &mut Truth) {
        let ends = match step {
            Step::Head(fields, end) => {
                for (name, value) in fields {
                    let value = std::str::from_utf8(value).unwrap();
                    match &name[..] {
                        b":status" if value != "103" => truth.status = Some(value.parse().unwrap()),
                        b"grpc-status" => truth.grpc_status = Some(value.parse().unwrap()),
                        _ => {}
                    }
                }
                *end
            }
            Step::Data(_, end) => *end,
            Step::Reset(_) => false,
        };
        if ends {
            truth.request_first = request_done;
            let trailers_only = self.grpc && !self.trailers;
            truth.answer = Some(self.sum(if trailers_only { &[] } else { &self.answer }));
        }
    }
}

/// The answer's frames.
fn answer(plan: &Plan) -> Vec<Step> {
    let mut answer = Vec::new();
    if plan.interim {
        answer.push(Step::Head(pairs(&[(":status", "103"), ("link", "</a>")]), false));
    }
    let status = plan.status.to_string();
    let grpc_status = plan.grpc_status.to_string();
    let mut head = vec![(":status", &*status)];
    if plan.grpc {
        head.push(("content-type", "application/grpc"));
        if !plan.trailers {
            head.extend([("grpc-status", &*grpc_status), ("grpc-message", "no%20tea")]);
            answer.push(Step::Head(pairs(&head), true));
            return answer;
        }
    }
    answer.push(Step::Head(pairs(&head), plan.answer.is_empty() && !plan.trailers));
    for (n, octets) in plan.answer.iter().enumerate() {
        answer.push(Step::Data(*octets, n + 1 == plan.answer.len() && !plan.trailers));
    }
    if plan.trailers {
        let trailers = if plan.grpc {
            pairs(&[("grpc-status", &grpc_status), ("grpc-message", "")])
        } else {
            pairs(&[("x-sum", "77")])
        };
        answer.push(Step::Head(trailers, true));
    }
    answer
}

/// What has been sent.
#[derive(Default)]
struct Writer {
    conversation: Conversation,
    encoders: [Encoder; 2],
    positions: [u64; 2],
}

impl Writer {
    fn control(&mut self, part: Part, bytes: Vec<u8>) {
        self.chunk(part, bytes, false);
    }

    fn chunk(&mut self, part: Part, bytes: Vec<u8>, skippable: bool) {
        self.positions[part as usize] += bytes.len() as u64;
        if !bytes.is_empty() {
            self.conversation.chunks.push(Chunk { part, bytes, skippable });
        }
    }

    /// A header block in as many frames as the shape says.
    fn block(&mut self, part: Part, number: u32, block: &[u8], end: bool, shape: Shape) {
        let mut fragments = block.chunks(shape.fragment).peekable();
        let mut kind = kind::HEADERS;
        loop {
            let fragment = fragments.next().unwrap_or_default();
            let mut flags = if fragments.peek().is_none() { flag::END_HEADERS } else { 0 };
            let mut payload = fragment.to_vec();
            if kind == kind::HEADERS {
                flags |= if end { flag::END_STREAM } else { 0 };
                if shape.priority {
                    flags |= flag::PRIORITY;
                    payload.splice(0..0, [0, 0, 0, 0, 15]);
                }
                if shape.pad > 0 {
                    flags |= flag::PADDED;
                    payload.insert(0, shape.pad);
                    payload.resize(payload.len() + usize::from(shape.pad), 0);
                }
            }
            self.control(part, frame(kind, flags, number, &payload, None));
            if flags & flag::END_HEADERS != 0 {
                return;
            }
            kind = kind::CONTINUATION;
        }
    }

    /// A DATA frame: all but its head may be left out.
    fn data(&mut self, part: Part, number: u32, data: &[u8], end: bool, shape: Shape) {
        let mut flags = if end { flag::END_STREAM } else { 0 };
        let mut payload = data.to_vec();
        if shape.pad > 0 {
            flags |= flag::PADDED;
            payload.insert(0, shape.pad);
            payload.resize(payload.len() + usize::from(shape.pad), 0);
        }
        let bytes = frame(kind::DATA, flags, number, &payload, None);
        let head = bytes.len().min(9 + 6);
        self.chunk(part, bytes[..head].to_vec(), false);
        self.chunk(part, bytes[head..].to_vec(), true);
    }
}
