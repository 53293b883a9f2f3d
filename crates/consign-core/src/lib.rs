//! The words of `consign`: messages, topics, subscriptions, and the traits that a database and a
//! broker implement.
//!
//! This crate does no I/O and starts no task, and it knows no database: all that a worker, a
//! projection or a [`Tx`] sees of one is [`Ledger::Connection`]. Applications use the facade
//! `consign`; this crate is for those who write a ledger or a driver.

mod changes;
mod clock;
mod derived;
mod draft;
mod driver;
mod envelope;
mod error;
mod expiry;
mod fingerprint;
mod freshness;
mod ledger;
mod limits;
mod message;
mod offset;
mod outcome;
mod partitioner;
mod projection;
mod publish;
mod receipt;
mod receipt_text;
mod retry;
mod schedule;
mod settle;
mod topic;
mod tx;

pub use changes::{Changes, Waiters};
pub use clock::{Clock, SystemClock};
pub use draft::{Draft, DueTime, Unique, Until};
pub use driver::{Driver, Page, PageRequest, Reader};
pub use envelope::{Delivery, Envelope};
pub use error::{BoxError, Error, Result};
pub use expiry::expiry;
pub use fingerprint::fingerprint;
pub use freshness::Freshness;
pub use ledger::{
    Advance, Advanced, Ledger, Member, Members, NewSubscription, Owned, Progress, Reads,
    SubscriptionId, WorkerId,
};
pub use limits::*;
pub use message::{Kind, Message};
pub use offset::{Epoch, MessageId, Offset, Partition};
pub use outcome::{HandlerResult, Verdict};
pub use partitioner::{RoundRobin, partition_of};
pub use projection::{AnyOrder, Backfill, Batch, Event, Load, Projection, Resume, Upkeep};
pub use publish::{BoxFuture, Outbox, Publish};
pub use receipt::{Published, Receipt};
pub use retry::{Order, Retry};
pub use schedule::ScheduleLedger;
pub use settle::{
    Due, Fate, Fault, Purpose, QueueLedger, Reason, Settle, Settled, Standing, Standstill,
    Unfinished, Waiting,
};
pub use topic::{CronName, Key, SubscriptionName, Topic};
pub use tx::{Kept, Lent, Tx};

/// What the derive macro writes calls to; not API.
#[doc(hidden)]
pub mod __private {
    pub use crate::derived::*;
}
