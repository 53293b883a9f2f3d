//! What is due later: how late it comes, and what a claim costs beside few and many that wait.

use crate::Result;
use crate::backlog;
use crate::bench::{Bench, SMALL};
use crate::database;
use crate::latencies::Latencies;
use crate::messages::Written;
use crate::part::{Part, Process};
use crate::record::{Goal, Record};
use consign::{HandlerResult, State, queue};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What waits all the time, and how it is called.
const WAITING: [(u64, &str); 2] = [(1_000, "10^3"), (1_000_000, "10^6")];
/// They are due long after the measurement.
const FAR: Duration = Duration::from_hours(1_000);
/// Messages of one call of `publish_all`.
const AT_ONCE: u64 = 10_000;
/// Between two that are due one after the other.
const GAP: Duration = Duration::from_millis(10);
/// Before the first of them is due, so that all are published.
const AHEAD: Duration = Duration::from_secs(2);
/// So many are due at once, for the cost of a claim.
const BURST: u64 = 20_000;
const WITHIN: Duration = Duration::from_mins(1);

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    let mut rates = Vec::new();
    for (messages, name) in WAITING {
        let filled = bench.path(&format!("scheduled-{messages}.db"));
        if !filled.exists() {
            let fill = FillSchedule { database: filled.clone(), messages };
            Process::start(&Part::FillSchedule(fill), None)?.answer::<()>()?;
            backlog::close(&filled)?;
        }
        let database = bench.path("scheduled.db");
        backlog::copy(&filled, &database)?;
        let part = Promoted { database, seconds: bench.seconds };
        let Found { late, burst } = Process::start(&Part::Promoted(part), None)?.answer()?;
        let said = |what: &str| format!("{what}, beside {name}");
        record.add(&said("late, p50"), "ms", Goal::None, late.p50());
        record.add(&said("late, p99"), "ms", Goal::AtMost(100.0), late.p99());
        record.add(&said("late, slowest"), "ms", Goal::None, late.slowest());
        record.add(&said("20,000 due at once"), "/s", Goal::None, burst);
        rates.push(burst);
    }
    record.add("at once, 10^6 ÷ 10^3", "", Goal::AtLeast(0.9), rates[1] / rates[0]);
    Ok(())
}

/// Publishes what is not due for long.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FillSchedule {
    database: PathBuf,
    messages: u64,
}

impl FillSchedule {
    pub(crate) async fn run(self) -> Result {
        let consign = database::open(&self.database).await?;
        for from in (0..self.messages).step_by(AT_ONCE as usize) {
            let to = self.messages.min(from + AT_ONCE);
            let some = (from..to).map(|n| Written::of_bytes(n, SMALL)).collect::<Vec<_>>();
            consign.publish_all(&some).after(FAR).await?;
        }
        Ok(())
    }
}

/// A process that publishes what is due soon, and handles it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Promoted {
    database: PathBuf,
    seconds: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    late: Latencies,
    /// Messages a second, of those that are due at once.
    burst: f64,
}

/// When messages were handled, and the number of each.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<Vec<(i64, SystemTime)>>>);

impl Handled {
    fn take(&self, messages: usize) -> Option<Vec<(i64, SystemTime)>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (all.len() >= messages).then(|| std::mem::take(&mut *all))
    }

    async fn wait(&self, messages: usize) -> Result<Vec<(i64, SystemTime)>> {
        let since = Instant::now();
        loop {
            if let Some(all) = self.take(messages) {
                return Ok(all);
            }
            if since.elapsed() > WITHIN {
                return Err("what is due does not come".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "what is measured is due by the machine's clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

async fn handle(written: Written, State(handled): State<Handled>) -> HandlerResult {
    let this = (written.author_id, now());
    handled.0.lock().unwrap_or_else(PoisonError::into_inner).push(this);
    Ok(())
}

impl Promoted {
    pub(crate) async fn run(self) -> Result<Found> {
        let consign = database::open(&self.database).await?;
        let handled = Handled::default();
        let workers = consign.workers().with_state(handled.clone());
        let running = workers.subscribe(queue("due", handle).from_start()).start().await?;
        let first = now() + AHEAD;
        let count = (self.seconds / GAP.as_secs_f64()) as u32;
        let mut tx = consign.begin().await?;
        for n in 0..count {
            let written = Written { author_id: n.into(), text: String::new() };
            tx.publish(&written).at(first + GAP * n).await?;
        }
        tx.commit().await?;
        let mut late = Latencies::default();
        for (n, at) in handled.wait(count as usize).await? {
            let due = first + GAP * u32::try_from(n)?;
            late.add(at.duration_since(due).unwrap_or_default());
        }
        let some = (0..BURST).map(|n| Written::of_bytes(n, SMALL)).collect::<Vec<_>>();
        let due = now() + AHEAD;
        for some in some.chunks(AT_ONCE as usize) {
            consign.publish_all(some).at(due).await?;
        }
        let last = handled.wait(BURST as usize).await?.into_iter().map(|(_, at)| at).max();
        let took = last.unwrap_or(due).duration_since(due)?;
        running.shutdown().await?;
        Ok(Found { late, burst: BURST as f64 / took.as_secs_f64() })
    }
}
