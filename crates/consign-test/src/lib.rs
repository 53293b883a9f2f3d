//! Proves handlers and drivers of `consign`.
//!
//! * [`Harness`] runs a user's subscriptions on real SQLite, with crashes and time in the test's
//!   hand; [`torture()`] runs a scenario again with its workers killed at each commit.
//! * [`conformance`] tries what every driver and ledger promises, on any of them.
//! * [`checker`] judges what was noted of a run; [`simulation`] runs the workers' own code against a
//!   simulated ledger.

pub mod checker;
pub mod conformance;
#[cfg(feature = "harness")]
mod harness;
pub mod history;
mod random;
pub mod simulation;
#[cfg(feature = "harness")]
mod torture;

#[cfg(feature = "harness")]
pub use harness::{CrashPoint, Harness};
pub use history::History;
pub use random::Random;
#[cfg(feature = "harness")]
pub use torture::{Difference, Report, Round, torture};
