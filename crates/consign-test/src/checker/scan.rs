//! What lies in the database when all is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::history::{MessageNumber, Moment, Place};

/// Everything that a run has left, read in full after it has come to rest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scan {
    /// When the reading began.
    pub at: Moment,
    /// The logs of all topics, in the order in which they were read.
    pub log: Vec<Logged>,
    /// The effects.
    pub witnesses: Vec<Witness>,
    /// What the ledger says, once for each subscription.
    pub ledgers: Vec<LedgerRows>,
}

/// A message as it lies in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// Where.
    pub place: Place,
    /// Which one, by its body.
    pub message: MessageNumber,
    /// Of its body.
    pub hash: u64,
}

/// A row that a handler has written in the transaction of its effect.
///
/// Its table has no unique constraint: that would hide the second effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Drawn while the key's row was locked, so that it grows in the order of the effects.
    pub n: u64,
    /// The subscription.
    pub subscription: String,
    /// The message.
    pub message: MessageNumber,
    /// Its key.
    pub key: Option<String>,
    /// The epoch under which it was applied.
    pub epoch: u64,
    /// The worker process.
    pub worker: u32,
}

/// What the ledger says of one subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRows {
    /// The subscription.
    pub subscription: String,
    /// Its cursors; a partition without one has not been begun.
    pub cursors: Vec<CursorRow>,
    /// Done marks: partition and offset.
    pub marks: Vec<(u16, u64)>,
    /// Waiting: to be tried again, parked, or scheduled.
    pub waiting: Vec<MessageNumber>,
    /// Dead letters.
    pub dead: Vec<MessageNumber>,
    /// Dropped by a handler's verdict.
    pub discarded: Vec<MessageNumber>,
    /// How many the subscription says there are, where it counts.
    pub counts: Option<Counts>,
    /// The effect that is no row of its own: `n = n + 1` per key. Empty: there is none.
    pub counters: BTreeMap<String, u64>,
}

/// Where a subscription stands in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorRow {
    /// The partition.
    pub partition: u16,
    /// The first message it was to read.
    pub start: u64,
    /// The next message.
    pub next: u64,
}

/// What a subscription says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Messages that it is to apply, read or not.
    pub accepted: u64,
    /// Applied.
    pub applied: u64,
    /// Dead letters.
    pub dead: u64,
    /// Waiting: those for which there is a row.
    pub waiting: u64,
    /// Discarded.
    pub discarded: u64,
}
