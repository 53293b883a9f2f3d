//! What is not due yet, and what is due again and again.

mod cron;
mod promoter;
mod ticker;
mod times;

pub use cron::{Cron, Missed, Tick, cron};
pub(crate) use promoter::Promoter;
pub(crate) use ticker::Ticker;
pub use times::next_tick;
