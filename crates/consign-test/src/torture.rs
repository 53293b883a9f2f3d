//! A scenario again and again, with its workers killed at another commit each time.

mod report;

use crate::harness::{Class, Crash, Harness, Plan};
use consign::{Result, Subscribed, Workers};
use consign_core::{BoxError, Error};
use consign_sql::Side;
pub use report::{Difference, Report};
use sqlx::SqlitePool;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Commits of one class that a scenario's worker process is crashed at, at most.
const COMMITS_MAX: u32 = 500;

/// Runs `scenario` cleanly, then once more for each commit of its workers and each side of it,
/// killing them there; compares the end states.
///
/// `scenario` makes a harness with [`Round::harness`], publishes, runs until idle, and answers what
/// it cares about: rows, and what a fake of the world outside has seen. It must answer the same
/// each time, so it has no ids or times of its own in it.
///
/// A crash before a commit delivers again what had been handled, so an effect that is not in the
/// handler's `Tx` happens twice: the report shows it. One after a commit tries to have an effect
/// again that was kept.
///
/// # Errors
/// What the clean run says; `torture-clean`: two clean runs differ; `torture-long`: it has more than
/// 500 commits.
///
/// # Examples
/// See `examples/torture.rs` of this crate.
pub async fn torture<S, E>(scenario: impl AsyncFn(Round) -> Result<S, E>) -> Result<Report<S>>
where
    S: PartialEq + Debug,
    E: Into<BoxError>,
{
    let run = async |round: Round| scenario(round).await.map_err(Into::into);
    let failed = |source: BoxError| {
        Error::new("torture-clean", format!("the clean run fails: {source}")).caused_by(source)
    };
    let clean = run(Round::default()).await.map_err(failed)?;
    let again = run(Round::default()).await.map_err(failed)?;
    if clean != again {
        return Err(differs(&clean, &again));
    }
    let mut report = Report { clean, crashes: 0, differences: Vec::new() };
    for class in Class::ALL {
        let mut nth = 0;
        loop {
            nth += 1;
            let before = report.crashes;
            for side in [Side::Before, Side::After] {
                let round = Round::planned(Plan::nth(class, nth, side));
                let end = run(round.clone()).await;
                report.add(round.crash.point(), end.map_err(|error| error.to_string()));
            }
            if report.crashes == before {
                break;
            }
            if nth == COMMITS_MAX {
                return Err(too_long());
            }
        }
    }
    Ok(report)
}

fn too_long() -> Error {
    let message = format!(
        "the scenario's workers commit more than {COMMITS_MAX} times: publish fewer messages"
    );
    Error::new("torture-long", message)
}

fn differs(one: &impl Debug, other: &impl Debug) -> Error {
    let message = format!(
        "two runs without a crash end differently, so nothing can be said of one with a crash: \
         leave ids, times and the order of what is concurrent out of the end state\n\
         once:  {one:?}\nagain: {other:?}"
    );
    Error::new("torture-clean", message)
}

/// One run of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Round {
    crash: Arc<Crash>,
    /// One process is killed, the first that there is.
    is_taken: Arc<AtomicBool>,
}

impl Round {
    fn planned(plan: Plan) -> Self {
        Self { crash: Arc::new(Crash::planned(plan)), is_taken: Arc::default() }
    }

    /// As [`Harness::new`]; its workers are killed where this round says. Of several harnesses the
    /// first one's are.
    ///
    /// # Errors
    /// As [`Harness::new`].
    pub async fn harness<E, S, F>(
        &self,
        prepare: impl AsyncFnOnce(&SqlitePool) -> Result<(), E>,
        subscribe: F,
    ) -> Result<Harness>
    where
        E: Into<BoxError>,
        S: Send + Sync + 'static,
        F: Fn(Workers, &SqlitePool) -> Workers<S, Subscribed> + Send + Sync + 'static,
    {
        let is_first = !self.is_taken.swap(true, Ordering::SeqCst);
        let crash = if is_first { Arc::clone(&self.crash) } else { Arc::default() };
        Harness::crashing(prepare, subscribe, crash).await
    }
}
