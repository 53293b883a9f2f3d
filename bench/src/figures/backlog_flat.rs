//! Whether what waits costs anything: a batch's claim and commit, and a rare topic beside a busy one.

use crate::Result;
use crate::backlog::{NOTHING, RARE, Waiting};
use crate::bench::Bench;
use crate::database;
use crate::latencies::Latencies;
use crate::messages::{Renamed, Written};
use crate::part::{Part, Process};
use crate::record::{Goal, Record};
use consign::sqlite::Tx;
use consign::{Batch, HandlerResult, Message, Projection, stream};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const PAYLOAD: usize = 200;
/// Messages of a batch, and of the small backlog.
const BATCH: usize = 100;
const FEW: u64 = 1_000;
/// Subscriptions that read from the start, one after the other, for one value.
const TIMES: usize = 20;
/// Messages of the large backlog before anything is timed: the first pages fill what is read ahead.
const FIRST: usize = 20_000;
const APPLIED_WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn measure(bench: &Bench, run: u32, record: &mut Record) -> Result {
    let many = Waiting { messages: bench.backlog, bytes: PAYLOAD };
    let few = Waiting { messages: FEW, bytes: PAYLOAD };
    let batches = |waiting, after| {
        let database = bench.with_backlog("flat.db", waiting)?;
        Process::start(&Part::Batches(Batches { database, after }), None)?.answer::<Latencies>()
    };
    let rare = |waiting| {
        let database = bench.with_backlog("flat.db", waiting)?;
        Process::start(&Part::Rare(Rare { database }), None)?.answer::<Latencies>()
    };
    let in_turn = |one: &dyn Fn() -> Result<Latencies>, other: &dyn Fn() -> Result<Latencies>| {
        if run % 2 == 1 {
            return Ok::<_, crate::BoxError>((one()?, other()?));
        }
        let other = other()?;
        Ok((one()?, other))
    };
    let (large, small) = in_turn(&|| batches(many, FIRST), &|| batches(few, 0))?;
    record.add("a batch of 100, backlog of 1,000", "ms", Goal::None, small.p50());
    record.add("a batch of 100, large backlog", "ms", Goal::None, large.p50());
    record.add("large ÷ 1,000", "", Goal::AtMost(1.2), large.p50() / small.p50());
    let (beside, alone) = in_turn(&|| rare(many), &|| rare(NOTHING))?;
    record.add("10 messages of a rare topic, alone", "ms", Goal::None, alone.p50());
    record.add("10 messages, beside a busy topic", "ms", Goal::None, beside.p50());
    record.add("beside ÷ alone", "", Goal::AtMost(1.2), beside.p50() / alone.p50());
    Ok(())
}

/// From one batch to the next: claim, effect, commit, rest. Ten batches of each subscription, as
/// many as the small backlog has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Batches {
    database: PathBuf,
    /// So many messages are applied before.
    after: usize,
}

impl Batches {
    pub(crate) async fn run(self) -> Result<Latencies> {
        let consign = database::open(&self.database).await?;
        let mut all = Latencies::default();
        for time in 0..TIMES {
            let (told, mut applied) = mpsc::unbounded_channel();
            let told = Told::<Written> { told, event: PhantomData };
            let flat = stream(&format!("flat-{time}"), told).batch_max(BATCH);
            let running = consign.workers().subscribe(flat).start().await?;
            let (mut last, mut messages) = (None, 0);
            while messages < self.after + FEW as usize {
                let (at, count) = next(&mut applied).await?;
                let before = last.replace(at).filter(|_| messages > self.after);
                if let Some(before) = before {
                    all.add(at - before);
                }
                messages += count;
            }
            running.shutdown().await?;
        }
        Ok(all)
    }
}

/// From the start of a worker to its ten messages.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rare {
    database: PathBuf,
}

impl Rare {
    pub(crate) async fn run(self) -> Result<Latencies> {
        let consign = database::open(&self.database).await?;
        let mut all = Latencies::default();
        for time in 0..TIMES {
            let (told, mut applied) = mpsc::unbounded_channel();
            let told = Told::<Renamed> { told, event: PhantomData };
            let started = Instant::now();
            let rare = stream(&format!("rare-{time}"), told);
            let running = consign.workers().subscribe(rare).start().await?;
            let (mut at, mut messages) = (started, 0);
            while messages < RARE as usize {
                let (now, count) = next(&mut applied).await?;
                (at, messages) = (now, messages + count);
            }
            all.add(at - started);
            running.shutdown().await?;
        }
        Ok(all)
    }
}

type Applied = (Instant, usize);

async fn next(applied: &mut mpsc::UnboundedReceiver<Applied>) -> Result<Applied> {
    let next = tokio::time::timeout(APPLIED_WITHIN, applied.recv()).await?;
    next.ok_or_else(|| "the worker is gone".into())
}

/// Tells when it was called, and does nothing else.
struct Told<M> {
    told: mpsc::UnboundedSender<Applied>,
    event: PhantomData<fn(M)>,
}

impl<M: Message> Projection<Tx> for Told<M> {
    type Event = M;

    async fn apply(&self, batch: Batch<M>, _: Tx) -> HandlerResult {
        let _ = self.told.send((Instant::now(), batch.len()));
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}
