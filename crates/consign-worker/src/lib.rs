//! Runs projections of `consign` over any ledger and any driver; names no broker and no database.
//!
//! Applications use the facade `consign`.

mod assigned;
mod backfill;
mod backoff;
mod effect;
mod engine;
mod heartbeat;
mod kinds;
mod ownership;
mod poll;
mod stop;
mod subscription;
mod upkeep;
mod worker;

pub use subscription::{Stream, Subscribe, Subscription, stream};
pub use worker::{Running, start};
