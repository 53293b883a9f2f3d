//! The workers' own code against a simulated ledger and a simulated driver, drawn from a seed.
//!
//! The crate `consign-worker` runs unchanged: several processes share a ledger that keeps its word,
//! and everything around them goes wrong: processes die at every call and commit, stand still and
//! go on, are judged dead and are not; transactions are refused, nobody answers a commit, the log
//! cannot be read. Then the weather is calm, and all must be done in bounded time; the
//! [`checker`](crate::checker) judges what was noted.
//!
//! It says nothing of SQL, nor of disks: what is counted here are schedules of the workers against a
//! simulated ledger.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::needless_pass_by_value,
    clippy::struct_excessive_bools,
    clippy::unchecked_time_subtraction,
    clippy::unused_self,
    clippy::map_identity,
    reason = "what is drawn for a schedule is small, and its ledger is written as the real one's is"
)]

mod desk;
mod driver;
mod due;
mod ledger;
mod log;
mod mutant;
mod plan;
mod rows;
mod scan;
mod schedule;
mod subject;
mod transaction;
mod work;
mod world;

pub use mutant::Mutant;
pub use subject::Simulated;

use crate::History;
use crate::checker::{Expected, Scan, Verdict, check};
use std::collections::BTreeMap;

/// What a schedule has come to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was drawn: what reads, and what goes wrong.
    pub drawn: String,
    /// What was noted.
    pub history: History,
    /// What it has left.
    pub scan: Scan,
    /// What was asked of it.
    pub expected: Expected,
    /// How often something rare was met.
    pub met: BTreeMap<&'static str, u64>,
    /// What the worker asked of the ledger that nobody may ask.
    pub complaints: Vec<String>,
    /// The same for the same seed.
    pub fingerprint: u64,
}

impl Outcome {
    /// What is wrong; `None`: nothing.
    #[must_use]
    pub fn wrong(&self) -> Option<String> {
        if !self.complaints.is_empty() {
            return Some(self.complaints.join("\n"));
        }
        match check(&self.history, &self.scan, &self.expected) {
            Verdict::Valid | Verdict::Inconclusive(_) => None,
            Verdict::Invalid(violations) => {
                let says = violations.iter().map(ToString::to_string).collect::<Vec<_>>();
                Some(says.join("\n"))
            }
            // Nothing was published: a short schedule.
            Verdict::InvalidRun(why) if why == "nothing was accepted" => None,
            Verdict::InvalidRun(why) => Some(format!("it cannot be judged: {why}")),
        }
    }
}

/// Runs the schedule that is drawn from `seed`, with a ledger that keeps its word, or a mutant.
///
/// # Panics
/// If no runtime can be made.
#[must_use]
pub fn run(seed: u64, mutant: Option<Mutant>) -> Outcome {
    run_plan(seed, plan::Plan::drawn, mutant)
}

/// Runs a schedule in which what all handlers need is away for an hour of its clock, and nothing
/// else goes wrong.
///
/// # Panics
/// If no runtime can be made.
#[must_use]
pub fn run_away_for_an_hour(seed: u64) -> Outcome {
    run_plan(seed, plan::Plan::away_for_an_hour, None)
}

fn run_plan(
    seed: u64,
    plan: impl FnOnce(&mut crate::Random) -> plan::Plan,
    mutant: Option<Mutant>,
) -> Outcome {
    // The workers' jitter is drawn from the thread's numbers.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs no more than memory");
    runtime.block_on(schedule::run(seed, plan, mutant))
}
