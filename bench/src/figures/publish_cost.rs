//! What `publish` adds to a request, while workers drain a backlog.

use crate::Result;
use crate::backlog::Waiting;
use crate::bench::Bench;
use crate::database::{self, number, verify};
use crate::figures::shared_commit::ARTICLE;
use crate::latencies::Latencies;
use crate::messages::Written;
use crate::open_loop::{self, Due};
use crate::part::{Part, Process};
use crate::record::{Goal, Record};
use crate::worker::Crew;
use consign::sqlite::Consign;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

const RATE: f64 = 100.0;
const WORKERS: usize = 3;
const BODY: usize = 1_024;
const PAYLOAD: usize = 60;

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    let waiting = Waiting { messages: bench.long_backlog(), bytes: PAYLOAD };
    let database = bench.with_backlog("cost.db", waiting)?;
    let crew = Crew::start(&database, WORKERS, None)?;
    let part = Part::Interleaved(Interleaved { database, seconds: bench.seconds });
    let sides: Sides = Process::start(&part, None)?.answer()?;
    if !crew.end()? {
        return Err("the backlog did not outlast the run: ask for a larger --backlog".into());
    }
    let Sides { with, without } = sides;
    record.add("without publish, p50", "ms", Goal::None, without.p50());
    record.add("without publish, p99", "ms", Goal::None, without.p99());
    record.add("with publish, p50", "ms", Goal::None, with.p50());
    record.add("with publish, p99", "ms", Goal::None, with.p99());
    record.add("added p50", "µs", Goal::None, (with.p50() - without.p50()) * 1e3);
    record.add("ratio p50", "", Goal::AtMost(1.15), with.p50() / without.p50());
    record.add("ratio p99", "", Goal::AtMost(1.25), with.p99() / without.p99());
    Ok(())
}

/// Requests of both sorts, one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Interleaved {
    database: PathBuf,
    seconds: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sides {
    with: Latencies,
    without: Latencies,
}

impl Interleaved {
    pub(crate) async fn run(self) -> Result<Sides> {
        let consign = database::open(&self.database).await?;
        let runtime = tokio::runtime::Handle::current();
        let sides = Arc::new(Mutex::new(Sides::default()));
        let (all, seconds) = (Arc::clone(&sides), self.seconds);
        let calls = move || {
            let answer = |(): &mut (), due: Due| {
                let done = runtime.block_on(runtime.spawn(request(consign.clone(), due)));
                let took = due.at.elapsed();
                done.expect("no panic").expect("a request is answered");
                let mut sides = all.lock().expect("no panic");
                if is_with(due) { sides.with.add(took) } else { sides.without.add(took) }
            };
            open_loop::run(RATE, seconds, || (), answer);
        };
        tokio::task::spawn_blocking(calls).await?;
        let sides = std::mem::take(&mut *sides.lock().map_err(|_| "a request panicked")?);
        let db = database::by_hand(&self.database, "normal")?;
        let articles = sides.with.len() + sides.without.len();
        verify("articles", number(&db, "select count(*) from articles")?, articles as i64)?;
        Ok(sides)
    }
}

fn is_with(due: Due) -> bool {
    due.number % 2 == 1
}

async fn request(consign: Consign, due: Due) -> Result {
    let author_id = due.number as i64 % 1_000;
    let mut tx = consign.begin().await?;
    sqlx::query(ARTICLE).bind(author_id).bind("x".repeat(BODY)).execute(&mut *tx).await?;
    if is_with(due) {
        tx.publish(&Written::of_bytes(due.number, PAYLOAD)).await?;
    }
    tx.commit().await?;
    Ok(())
}
