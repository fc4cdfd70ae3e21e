//! The requests' direction.
#![forbid(unsafe_code)]

use super::head::Collected;
use super::line::{Line, request_line};
use super::open::Open;
use super::{Http1, State, body};
use crate::conn::Loss;
use crate::exchange::Role;
use crate::input::Nanos;
use crate::protocols::{Body, Outlet, Piece};

impl Http1 {
    /// Reads a piece of it.
    pub(super) fn request_piece(&mut self, mut piece: Piece<'_>, out: &mut Outlet<'_>) {
        let (ended, hidden) = (piece.ended, matches!(piece.body, Body::Hidden(_)));
        let mut whole = true;
        while !piece.is_empty() && !self.over {
            let used = match std::mem::replace(&mut self.requests, State::Lost) {
                State::Boundary => self.before_request(&piece, out),
                State::Head(head) => self.in_request_head(head, &piece, out),
                State::Body(body) => self.in_request_body(body, &piece, whole, out),
                State::Lost if whole && self.request_resumes(&piece, out) => 0,
                State::Lost => {
                    if piece.is_lost() {
                        let need = self.need_after_gap();
                        self.lose_requests(need, out);
                    }
                    piece.len()
                }
            };
            whole &= used == 0;
            piece = piece.after(used);
        }
        if let Some(open) = &mut self.tunnel {
            open.request_moved(piece.len(), piece.ended);
        }
        self.last_request = self.last_request.max(ended);
        let is_lost = match &self.requests {
            State::Lost => true,
            State::Body(body) => body.is_lost(),
            _ => false,
        };
        if hidden && is_lost {
            self.stitch.give_up();
        }
    }

    /// At a boundary: how many bytes were used.
    fn before_request(&mut self, piece: &Piece<'_>, out: &mut Outlet<'_>) -> u64 {
        let Some(bytes) = piece.bytes() else {
            lose(piece, out);
            self.lose_requests(1, out);
            return piece.len();
        };
        // Empty lines before a request are to be ignored (RFC 9112 §2.2).
        let empty = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let start = piece.after(empty as u64);
        if start.is_empty() {
            self.requests = State::Boundary;
        } else if request_line(&bytes[empty..]) == Line::No {
            out.lose(Loss::Unframed, 1);
            self.lose_requests(0, out);
            return piece.len();
        } else {
            self.requests = State::Head(Box::new(Collected::begin(&start)));
        }
        empty as u64
    }

    fn in_request_head(
        &mut self,
        mut head: Box<Collected>,
        piece: &Piece<'_>,
        out: &mut Outlet<'_>,
    ) -> u64 {
        match piece.body {
            Body::Bytes(bytes) => {
                let (used, ended) = head.read(bytes);
                if ended {
                    self.start(&mut head, used as u64, piece, out);
                } else {
                    self.requests = State::Head(head);
                }
                used as u64
            }
            Body::Skip(n) => {
                out.lose(Loss::BeyondCap, n);
                head.cut();
                self.start(&mut head, n, piece, out);
                n
            }
            Body::Gap(n) | Body::Hidden(n) => {
                self.lose_requests(1, out);
                n
            }
        }
    }

    /// A head is complete, or all of it that there is, with the first `used` bytes of `piece`.
    fn start(&mut self, head: &mut Collected, used: u64, piece: &Piece<'_>, out: &mut Outlet<'_>) {
        let Some(request) = head.request() else {
            out.lose(Loss::Unframed, 1);
            return self.lose_requests(0, out);
        };
        self.answers_before(piece.ended, out);
        // A server has read what it answers: what it sent before was quoted in a body, or answered nobody. What a client may
        // have received before it was seen to send is not believed where it can stand in a body.
        let unasked = self.role == Role::Server || self.found;
        if unasked && self.early.forget_before(head.began) {
            out.lose(Loss::Unpaired, 1);
        }
        let body = body::Reader::new(body::of_request(&request.method, request.framing));
        let bytes = piece.position.saturating_add(used).saturating_sub(head.position);
        let mut open = Open::start(head, request, bytes, piece.ended, self.role, out);
        self.current = Some(open.id);
        if body.as_ref().is_some_and(body::Reader::is_lost) {
            self.stitch.doubt();
        }
        if body.as_ref().is_none_or(body::Reader::is_lost) {
            open.request_complete(body.is_none().then_some(0));
        }
        self.requests = body.map_or(State::Boundary, |body| State::Body(Box::new(body)));
        let crossed = head.began < self.last_answer;
        self.stitch.push(open, self.answers.is_idle(), crossed, out);
        self.await_answer();
        self.read_early(out);
    }

    fn in_request_body(
        &mut self,
        mut body: Box<body::Reader>,
        piece: &Piece<'_>,
        whole: bool,
        out: &mut Outlet<'_>,
    ) -> u64 {
        if whole && body.is_untouched() && self.was_refused(piece) {
            self.stitch.doubt();
            self.request_complete(Some(0), out);
            self.requests = State::Boundary;
            return 0;
        }
        let was_lost = body.is_lost();
        if was_lost && whole && !body.is_left_out() && self.request_resumes(piece, out) {
            return 0;
        }
        let (used, done) = body.read(piece);
        if piece.request && !was_lost && !body.is_lost() {
            out.lose(self.quoted(), 1);
        }
        if let Some(open) = self.current.and_then(|id| self.stitch.exchange(id)) {
            open.request_moved(used, piece.ended);
        }
        if body.is_lost() && !was_lost {
            out.lose(body.loss(), 1);
            self.stitch.doubt();
            self.request_lost();
        }
        if body.is_lost() && piece.is_lost() {
            let need = self.need_after_gap();
            self.lose_requests(need, out);
        } else if done {
            self.request_complete(body.counted(), out);
            self.requests = State::Boundary;
        } else {
            self.requests = State::Body(body);
        }
        used
    }

    /// What a request that the kernel told of is, where a body goes on for certain.
    const fn quoted(&self) -> Loss {
        match self.role {
            Role::Client => Loss::QuotedSent,
            Role::Server => Loss::QuotedReceived,
        }
    }

    /// The request's end has been seen.
    fn request_complete(&mut self, body: Option<u64>, out: &mut Outlet<'_>) {
        if let Some(open) = self.current.and_then(|id| self.stitch.exchange(id)) {
            open.request_complete(body);
            self.stitch.finish_answered(out);
        }
    }

    /// The request's end may never be seen: its answer does not wait for it.
    fn request_lost(&mut self) {
        let open = self.current.and_then(|id| self.stitch.exchange(id));
        if let Some(open) = open.filter(|open| !open.request_done) {
            open.request_complete(None);
        }
    }

    /// The client asked before sending its body and was told no: then the next request may come in its place
    /// (RFC 9110 §10.1.1).
    fn was_refused(&mut self, piece: &Piece<'_>) -> bool {
        let starts = |bytes| matches!(request_line(bytes), Line::Yes(_));
        let refused = |open: &mut Open| open.waits_for_continue && open.answered.is_some();
        let open = self.current.and_then(|id| self.stitch.exchange(id));
        open.is_some_and(refused) && piece.bytes().is_some_and(starts)
    }

    /// Whether a request begins with this piece although the framing was lost; then the direction is at a boundary.
    fn request_resumes(&mut self, piece: &Piece<'_>, out: &mut Outlet<'_>) -> bool {
        let starts = |bytes| matches!(request_line(bytes), Line::Yes(line) if line.is_usual());
        // What moved before the last answer ended is the rest of what was answered; and what follows without an answer in
        // between is the rest of what was lost.
        if piece.began < self.last_answer
            || self.last_answer < self.last_request
            || !piece.bytes().is_some_and(starts)
        {
            return false;
        }
        self.answer_without_end(out);
        if self.answers.is_idle() {
            self.stitch.finish_answered(out);
        }
        let resumes = self.stitch.may_resume(self.answers.is_idle());
        if resumes {
            self.requests = State::Boundary;
        }
        resumes
    }

    /// How many requests begin at least in a gap that lies somewhere in or after the current request: one if that has
    /// had its answer, because then it had been sent.
    fn need_after_gap(&mut self) -> usize {
        let open = self.current.and_then(|id| self.stitch.exchange(id));
        usize::from(open.is_none_or(|open| open.answered.is_some()))
    }

    /// Requests are lost here: the current one cannot be followed, at least `need` more were not seen.
    fn lose_requests(&mut self, need: usize, out: &mut Outlet<'_>) {
        self.requests = State::Lost;
        self.request_lost();
        self.stitch.lose_requests(need);
        self.read_early(out);
    }

    /// A request begins at `now`: answers that waited too long for one are not its own.
    fn answers_before(&mut self, now: Nanos, out: &mut Outlet<'_>) {
        if self.early.is_overdue(now) {
            self.early_is_late(out);
        }
        self.answer_without_end(out);
    }

    /// An answer whose framing was lost has ended, because the client asks again.
    fn answer_without_end(&mut self, out: &mut Outlet<'_>) {
        if let State::Body(body) = &self.answers
            && body.is_lost()
            && !self.stitch.more_wait()
        {
            out.lose(Loss::Unframed, body.unseen_end());
            self.lose_answers(out);
        }
    }
}

/// Counts bytes that were needed and left out on purpose.
pub(super) fn lose(piece: &Piece<'_>, out: &mut Outlet<'_>) {
    if let Body::Skip(n) = piece.body {
        out.lose(Loss::BeyondCap, n);
    }
}
