//! From publishing to the effect in another process, while nothing else happens.

use crate::Result;
use crate::backlog::{self, Waiting};
use crate::bench::Bench;
use crate::database::{self, number};
use crate::drained::EFFECTS;
use crate::latencies::Latencies;
use crate::messages::Written;
use crate::part::{Part, Process};
use crate::queue_worker::{Fails, Form, QueueWorker};
use crate::record::{Goal, Record};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Between two messages; odd, so that they meet other rhythms everywhere.
const PAUSE: Duration = Duration::from_millis(17);
const LOOK_EVERY: Duration = Duration::from_micros(100);
const WITHIN: Duration = Duration::from_secs(10);
/// The worker is at work once it has handled these.
const FIRST: Waiting = Waiting { messages: 100, bytes: crate::bench::SMALL };

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    let database = bench.with_backlog("queue-idle.db", FIRST)?;
    let worker = QueueWorker { database: database.clone(), form: Form::Tx(Fails::None) };
    let worker = Process::start(&Part::QueueWorker(worker), None)?;
    let enqueuer = Enqueuer { database: database.clone(), seconds: bench.seconds };
    let Waits { committed, published } =
        Process::start(&Part::Enqueuer(enqueuer), None)?.answer()?;
    worker.answer::<u64>()?;
    backlog::close(&database)?;
    record.add("messages", "", Goal::None, committed.len() as f64);
    record.add("from the commit, p50", "ms", Goal::None, committed.p50());
    record.add("from the commit, p99", "ms", Goal::None, committed.p99());
    record.add("from the call of publish, p50", "ms", Goal::None, published.p50());
    record.add("from the call of publish, p99", "ms", Goal::AtMost(5.0), published.p99());
    record.add("from the call of publish, slowest", "ms", Goal::None, published.slowest());
    Ok(())
}

/// Publishes now and then, and looks for the effect.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Enqueuer {
    database: PathBuf,
    seconds: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Waits {
    committed: Latencies,
    published: Latencies,
}

impl Enqueuer {
    pub(crate) async fn run(self) -> Result<Waits> {
        let consign = database::open(&self.database).await?;
        let db = database::by_hand(&self.database, "normal")?;
        let mut effects = FIRST.messages as i64;
        wait(&db, effects)?;
        let (mut found, started) = (Waits::default(), Instant::now());
        while started.elapsed().as_secs_f64() < self.seconds {
            tokio::time::sleep(PAUSE).await;
            let message = Written::of_bytes(effects as u64, FIRST.bytes);
            let published = Instant::now();
            consign.publish(&message).await?;
            let committed = Instant::now();
            effects += 1;
            wait(&db, effects)?;
            found.committed.add(committed.elapsed());
            found.published.add(published.elapsed());
        }
        Ok(found)
    }
}

/// Holds up its thread: it has nothing else to do, and a timer of the runtime is coarser.
fn wait(db: &rusqlite::Connection, effects: i64) -> Result {
    let since = Instant::now();
    while number(db, EFFECTS)? < effects {
        if since.elapsed() > WITHIN {
            return Err("a message has had no effect".into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
