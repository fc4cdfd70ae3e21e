//! What was lost on the way from a socket call to an exchange, by reason.
//!
//! Plain numbers without atomics: the pipeline owns them and whoever publishes them copies. A loss is counted once,
//! where it is noticed, and never silently.
#![forbid(unsafe_code)]

use abi::NoData;

/// Why something was lost. The unit is part of the reason, see [`Loss::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Loss {
    /// Bytes whose user memory could not be read.
    Fault,
    /// Bytes moved by a call that was not a call on this socket.
    ForeignCall,
    /// Bytes moved by a form of call whose buffers cannot be told apart.
    Form,
    /// Bytes that never were in user memory.
    KernelPages,
    /// Bytes of two writers whose order is not known.
    Raced,
    /// Bytes no event told of: the positions jumped.
    Missing,
    /// Bytes that were left out on purpose where a reader needed them.
    BeyondCap,
    /// Data events for bytes that had been delivered already.
    Duplicate,
    /// Data events that came after their connection had been given up.
    Late,
    /// Events that contradict themselves.
    Malformed,
    /// Places where a reader no longer knew where a message begins.
    Unframed,
    /// Answers seen without the request they belong to.
    Unpaired,
    /// Connections forgotten to make room.
    Evicted,
    /// HTTP/2 header blocks that are none, or were not to be had as a whole.
    HeaderBlock,
    /// HTTP/2 streams forgotten to make room.
    Streams,
    /// Chunked bodies whose length is not known, because the size of a chunk was among the bytes that are left out of long
    /// calls. Where they end is seen by their last chunk, at the end of a call.
    Unmeasured,
    /// What the kernel told of as requests sent, and lies in a body: it quotes one.
    QuotedSent,
    /// The same of requests received.
    QuotedReceived,
}

impl Loss {
    /// All reasons in the order of their numbers.
    pub const ALL: [Self; 18] = [
        Self::Fault,
        Self::ForeignCall,
        Self::Form,
        Self::KernelPages,
        Self::Raced,
        Self::Missing,
        Self::BeyondCap,
        Self::Duplicate,
        Self::Late,
        Self::Malformed,
        Self::Unframed,
        Self::Unpaired,
        Self::Evicted,
        Self::HeaderBlock,
        Self::Streams,
        Self::Unmeasured,
        Self::QuotedSent,
        Self::QuotedReceived,
    ];

    /// What a user reads: the unit, then the reason.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fault => "bytes_user_memory_fault",
            Self::ForeignCall => "bytes_foreign_call",
            Self::Form => "bytes_unreadable_form",
            Self::KernelPages => "bytes_kernel_pages",
            Self::Raced => "bytes_raced_writers",
            Self::Missing => "bytes_never_announced",
            Self::BeyondCap => "bytes_beyond_capture_cap",
            Self::Duplicate => "events_duplicate",
            Self::Late => "events_after_end",
            Self::Malformed => "events_malformed",
            Self::Unframed => "framing_lost",
            Self::Unpaired => "answers_unpaired",
            Self::Evicted => "connections_evicted",
            Self::HeaderBlock => "header_blocks_unreadable",
            Self::Streams => "streams_forgotten",
            Self::Unmeasured => "bodies_unmeasured",
            Self::QuotedSent => "requests_sent_in_bodies",
            Self::QuotedReceived => "requests_received_in_bodies",
        }
    }

    /// Whether a call that lost bytes for this reason may be followed by others of its kind that lose none.
    #[must_use]
    pub const fn is_accident(self) -> bool {
        !matches!(self, Self::ForeignCall | Self::Form | Self::KernelPages)
    }

    /// The loss a data event's own reason stands for; `None` when nothing is missing.
    #[must_use]
    pub const fn of(reason: NoData) -> Option<Self> {
        Some(match reason {
            NoData::Nothing => return None,
            NoData::Fault => Self::Fault,
            NoData::ForeignCall => Self::ForeignCall,
            NoData::Form => Self::Form,
            NoData::KernelPages => Self::KernelPages,
            NoData::Raced => Self::Raced,
        })
    }
}

/// A count for each [`Loss`], since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; Loss::ALL.len()]);

impl Losses {
    /// Counts `amount` more; stays at the top instead of wrapping.
    pub const fn add(&mut self, loss: Loss, amount: u64) {
        let slot = &mut self.0[loss as usize];
        *slot = slot.saturating_add(amount);
    }

    /// The count for one reason.
    #[must_use]
    pub const fn count(&self, loss: Loss) -> u64 {
        self.0[loss as usize]
    }

    /// Every reason with its count, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        Loss::ALL.into_iter().map(|loss| (loss, self.count(loss)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_the_numbers_and_names_differ() {
        let mut names = std::collections::HashSet::new();
        for (number, loss) in Loss::ALL.into_iter().enumerate() {
            assert_eq!(loss as usize, number);
            assert!(names.insert(loss.name()));
        }
    }

    #[test]
    fn counts_do_not_wrap() {
        let mut losses = Losses::default();
        losses.add(Loss::Missing, u64::MAX);
        losses.add(Loss::Missing, 7);
        assert_eq!(losses.count(Loss::Missing), u64::MAX);
        assert_eq!(losses.count(Loss::Fault), 0);
    }
}
