//! What a wait for a subscription comes to: read your own writes.

/// How a subscription stands to the messages of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// All of them have had their effects: what is read now shows them.
    CaughtUp,
    /// One of them has failed and waits for its next attempt, or waits behind one that did.
    Waiting,
    /// One of them was given up: it has no effect until somebody redrives it.
    Dead,
    /// The time was over before.
    TimedOut {
        /// Messages that it has not passed, of those up to the last that was waited for; at least 1.
        behind: u64,
    },
}

impl Freshness {
    /// Asks whether what is read now shows all of it.
    pub fn is_caught_up(self) -> bool {
        self == Self::CaughtUp
    }
}
