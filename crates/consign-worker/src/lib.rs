//! Runs handlers and projections of `consign` over any ledger and any driver; names no broker and no
//! database.
//!
//! Applications use the facade `consign`.

mod assigned;
mod backfill;
mod backoff;
mod effect;
mod engine;
mod handler;
mod heartbeat;
mod kinds;
#[cfg(feature = "tower")]
mod layer;
mod ownership;
mod poll;
mod projected;
mod pulse;
mod queue;
mod queue_builder;
mod rate;
mod retention;
mod schedule;
mod setback;
mod standstill;
mod stop;
mod subscription;
mod tidy;
mod upkeep;
mod watchdog;
mod worker;

pub use handler::{
    Arguments, AsHandler, Deliveries, Extract, Form, FromDelivery, FromRef, Function, Handler,
    HandlerFn, HandlerOutput, Input, State,
};
#[cfg(feature = "tower")]
pub use layer::{Call, Calls};
pub use queue_builder::{Queue, queue};
pub use rate::Rate;
pub use schedule::{Cron, Missed, Tick, cron, next_tick};
pub use subscription::{Stream, Subscribe, Subscription, stream};
pub use worker::{Running, start};
