//! The answers' direction.
#![forbid(unsafe_code)]

use super::head::Collected;
use super::line::{Line, status_line};
use super::open::asks_for_http2;
use super::requests::lose;
use super::stitch::Next;
use super::{Http1, State, body};
use crate::conn::Loss;
use crate::protocols::{Body, Outlet, Piece, Protocol as _};

impl Http1 {
    /// Reads a piece of it.
    pub(super) fn answer_piece(&mut self, mut piece: Piece<'_>, out: &mut Outlet<'_>) {
        let mut whole = true;
        while !piece.is_empty() && !self.over {
            if !self.early.is_empty() {
                self.early.push(piece);
                if self.early.is_overdue(piece.ended) {
                    self.early_is_late(out);
                }
                return;
            }
            let used = match std::mem::replace(&mut self.answers, State::Lost) {
                State::Boundary => self.before_answer(&piece, out),
                State::Head(head) => self.in_answer_head(head, &piece, out),
                State::Body(body) => self.in_answer_body(body, &piece, whole, out),
                State::Lost if whole && self.answer_resumes(&piece) => {
                    self.answers = State::Boundary;
                    self.found = true;
                    0
                }
                State::Lost => piece.len(),
            };
            whole &= used == 0;
            if used > 0 {
                self.last_answer = piece.ended;
            }
            piece = piece.after(used);
        }
        if let Some(open) = &mut self.tunnel {
            open.answer_moved(piece.len(), &piece);
        }
        if let Some(next) = &mut self.next
            && !piece.is_empty()
        {
            next.piece(piece, out);
        }
    }

    /// Reads the answers that waited for what the stitch knows now.
    pub(super) fn read_early(&mut self, out: &mut Outlet<'_>) {
        for kept in self.early.take() {
            self.answer_piece(kept.piece(), out);
        }
    }

    /// The request of the answer that waits will not come.
    pub(super) fn early_is_late(&mut self, out: &mut Outlet<'_>) {
        self.stitch.lose_requests(0);
        self.read_early(out);
    }

    /// At a boundary: how many bytes were used.
    fn before_answer(&mut self, piece: &Piece<'_>, out: &mut Outlet<'_>) -> u64 {
        if piece.bytes().is_some_and(|bytes| status_line(bytes) == Line::No) {
            out.lose(Loss::Unframed, 1);
            self.lose_answers(out);
            return piece.len();
        }
        // Its request never was completed, but the next answer is here.
        self.stitch.finish_answered(out);
        if self.stitch.next() == Next::Nothing {
            self.answers = State::Boundary;
            self.early.push(*piece);
            return piece.len();
        }
        self.found &= self.stitch.next() == Next::Lost;
        if piece.bytes().is_none() {
            lose(piece, out);
            self.lose_answers(out);
            return piece.len();
        }
        self.stitch.answer_begins(out);
        self.answers = State::Head(Box::new(Collected::begin(piece)));
        0
    }

    fn in_answer_head(
        &mut self,
        mut head: Box<Collected>,
        piece: &Piece<'_>,
        out: &mut Outlet<'_>,
    ) -> u64 {
        let (used, ended) = match piece.body {
            Body::Bytes(bytes) => {
                let (used, ended) = head.read(bytes);
                (used as u64, ended)
            }
            Body::Skip(n) => {
                lose(piece, out);
                head.cut();
                (n, true)
            }
            Body::Gap(n) | Body::Hidden(n) => {
                // How the message was framed is lost with its head's end, and with that where the next one begins.
                head.cut();
                if let Some(open) = self.stitch.front() {
                    open.answer_moved(n, piece);
                    if let Some(answer) = head.answer().filter(|answer| answer.line.status >= 200) {
                        open.final_answer(&head, answer);
                    }
                }
                self.lose_answers(out);
                return n;
            }
        };
        if let Some(open) = self.stitch.front() {
            open.answer_moved(used, piece);
        }
        if ended {
            self.answer_head(&mut head, piece, out);
        } else {
            self.answers = State::Head(head);
        }
        used
    }

    /// A head is complete, or all of it that there is.
    fn answer_head(&mut self, head: &mut Collected, piece: &Piece<'_>, out: &mut Outlet<'_>) {
        let Some(answer) = head.answer() else {
            out.lose(Loss::Unframed, 1);
            return self.lose_answers(out);
        };
        let status = answer.line.status;
        let method = match self.stitch.next() {
            Next::Exchange(method) => Some(method),
            Next::Lost | Next::Nothing => None,
        };
        let kind = body::of_answer(method, status, answer.framing);
        if status < 200 && status != 101 {
            // An interim answer (RFC 9110 §15.2): the final one is still to come, or was lost with this one's end.
            if let Some(open) = self.stitch.front() {
                open.waits_for_continue = false;
            }
            self.answers = State::Boundary;
            if !answer.framing.ended {
                self.lose_answers(out);
            }
            return;
        }
        let is_upgraded = status == 101
            && asks_for_http2(&answer.kept)
            && self.stitch.front().is_some_and(|open| open.asks_for_http2());
        if is_upgraded {
            return self.upgrade(piece.ended, out);
        }
        match self.stitch.front() {
            Some(open) => open.final_answer(head, answer),
            None => out.lose(Loss::Unpaired, 1),
        }
        match body::Reader::new(kind) {
            Some(body) => {
                if body.is_lost() {
                    self.stitch.doubt();
                }
                self.answers = State::Body(Box::new(body));
            }
            None => {
                self.answers = State::Boundary;
                if kind == body::Kind::Tunnel {
                    return self.become_tunnel(piece.ended, out);
                }
                self.stitch.answer_complete(Some(0), piece.ended, out);
            }
        }
    }

    fn in_answer_body(
        &mut self,
        mut body: Box<body::Reader>,
        piece: &Piece<'_>,
        whole: bool,
        out: &mut Outlet<'_>,
    ) -> u64 {
        if whole && self.answer_is_cut_short(&body, piece) {
            self.stitch.doubt();
            if body.is_lost() {
                out.lose(Loss::Unframed, body.unseen_end());
                self.stitch.lose_answers(out);
            } else {
                self.stitch.answer_complete(None, piece.began, out);
            }
            self.answers = State::Boundary;
            return 0;
        }
        let was_lost = body.is_lost();
        if whole && was_lost && !body.is_left_out() && starts(piece) {
            // Its end was in the hole and this is the next answer, seen before its request; or this is what the body says.
            self.lose_answers(out);
            return 0;
        }
        let (used, done) = body.read(piece);
        if let Some(open) = self.stitch.front() {
            open.answer_moved(used, piece);
        }
        if body.is_lost() && !was_lost {
            out.lose(body.loss(), 1);
            self.stitch.doubt();
            if !body.is_left_out() && self.stitch.more_wait() {
                // The answers that others wait for may begin anywhere from here on.
                self.lose_answers(out);
                return used;
            }
        }
        if done {
            self.answers = State::Boundary;
            self.found |= body.is_lost();
            self.stitch.answer_complete(body.counted(), piece.ended, out);
        } else {
            self.answers = State::Body(body);
        }
        used
    }

    /// Whether the answer that is being read ended before this piece although nothing said so, because another
    /// begins: its framing was lost and another request waits, or nobody knows whether it was the answer to a HEAD.
    fn answer_is_cut_short(&self, body: &body::Reader, piece: &Piece<'_>) -> bool {
        let possible = if body.is_lost() {
            self.stitch.more_wait()
        } else {
            body.is_untouched() && self.stitch.next() == Next::Lost
        };
        possible && starts(piece)
    }

    /// Whether an answer begins with this piece although the framing was lost.
    fn answer_resumes(&self, piece: &Piece<'_>) -> bool {
        self.stitch.next() != Next::Nothing && starts(piece)
    }

    /// The start of an answer is lost here, or the end of the one that is read. If the next can only be one
    /// request's, it must begin here.
    pub(super) fn lose_answers(&mut self, out: &mut Outlet<'_>) {
        self.stitch.lose_answers(out);
        self.answers = State::Lost;
        self.await_answer();
    }

    /// When a request waits, nothing but its answer may come: no message is looked for in what may be a body.
    pub(super) fn await_answer(&mut self) {
        if matches!(self.answers, State::Lost) && matches!(self.stitch.next(), Next::Exchange(_)) {
            self.answers = State::Boundary;
        }
    }
}

/// Whether a piece begins with a status line.
fn starts(piece: &Piece<'_>) -> bool {
    piece.bytes().is_some_and(|bytes| matches!(status_line(bytes), Line::Yes(_)))
}
