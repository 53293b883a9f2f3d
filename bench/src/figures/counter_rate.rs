//! How fast one worker counts a backlog, beside a loop by hand that does the same.

use crate::Result;
use crate::backlog::Waiting;
use crate::bench::Bench;
use crate::database::{self, number, verify};
use crate::machine;
use crate::messages::{AUTHORS, Written};
use crate::part::{Part, Process};
use crate::record::{Goal, Record};
use consign::sqlite::Tx;
use consign::{Batch, HandlerResult, Projection, Sum, stream};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

const PAYLOAD: usize = 200;
const DRAINED_WITHIN: Duration = Duration::from_mins(5);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// As consign reads: so many rows of each of the eight partitions.
const PAGE: i64 = 1_000;

pub(crate) fn measure(bench: &Bench, run: u32, record: &mut Record) -> Result {
    let waiting = Waiting { messages: bench.backlog, bytes: PAYLOAD };
    let database = bench.with_backlog("counter.db", waiting)?;
    let drained: Drained = Process::start(&Part::Drain(Drain { database }), None)?.answer()?;
    let mean = drained.effects.div_ceil(drained.batches.max(1)).max(1);
    let by_hand = |ahead| {
        let database = bench.with_backlog("counter.db", waiting)?;
        let part = Part::DrainByHand(DrainByHand { database, batch: mean as usize, ahead });
        Process::start(&part, None)?.answer::<Drained>()
    };
    // What a run takes from the disk's cache must not always favour the same one.
    let (one, two) = if run.is_multiple_of(2) {
        let two = by_hand(true)?;
        (by_hand(false)?, two)
    } else {
        (by_hand(false)?, by_hand(true)?)
    };
    let messages = bench.backlog as i64;
    for counted in [&drained, &one, &two] {
        verify("effects", counted.effects as i64, messages)?;
    }
    record.add("one worker", "effects/s", Goal::AtLeast(200_000.0), drained.rate());
    record.add("its batches, on average", "messages", Goal::None, mean as f64);
    record.add("its memory at most", "MiB", Goal::AtMost(100.0), drained.memory);
    record.add("by hand, one thread", "effects/s", Goal::None, one.rate());
    record.add("by hand, reading ahead", "effects/s", Goal::None, two.rate());
    record.add("÷ by hand", "", Goal::AtLeast(0.5), drained.rate() / one.rate());
    record.add("÷ by hand, reading ahead", "", Goal::None, drained.rate() / two.rate());
    Ok(())
}

/// How long it took, and that it was right.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Drained {
    seconds: f64,
    effects: u64,
    batches: u64,
    memory: f64,
}

impl Drained {
    fn rate(&self) -> f64 {
        self.effects as f64 / self.seconds
    }

    fn read(db: &Connection, seconds: f64, batches: u64) -> Result<Self> {
        let authors = number(db, "select count(*) from author_counts")?;
        verify("authors counted", authors, AUTHORS)?;
        let effects = number(db, "select sum(articles) from author_counts")? as u64;
        Ok(Self { seconds, effects, batches, memory: machine::memory_peak()? })
    }
}

/// By one worker of consign.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Drain {
    database: PathBuf,
}

impl Drain {
    pub(crate) async fn run(self) -> Result<Drained> {
        let consign = database::open(&self.database).await?;
        let looks = database::by_hand(&self.database, "normal")?;
        let left = |select| number(&looks, select);
        let messages = left("select count(*) from consign_log where kind = 'article.written'")?;
        let batches = Arc::new(AtomicU64::new(0));
        let sum = Sum::into("author_counts", "author_id", "articles")
            .by(|written: &Written| (written.author_id, 1));
        let counter = Counted { projection: sum, batches: Arc::clone(&batches) };
        let started = Instant::now();
        let running = consign.workers().subscribe(stream("counter", counter)).start().await?;
        while left("select sum(passed) from consign_cursor")? < messages {
            if started.elapsed() > DRAINED_WITHIN {
                return Err("the backlog is not drained".into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let seconds = started.elapsed().as_secs_f64();
        running.shutdown().await?;
        Drained::read(&looks, seconds, batches.load(Ordering::Relaxed))
    }
}

/// Counts batches.
struct Counted<P> {
    projection: P,
    batches: Arc<AtomicU64>,
}

impl<P: Projection<Tx>> Projection<Tx> for Counted<P> {
    type Event = P::Event;

    async fn apply(&self, batch: Batch<P::Event>, tx: Tx) -> HandlerResult {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.projection.apply(batch, tx).await
    }

    async fn reset(&self, tx: Tx) -> HandlerResult {
        self.projection.reset(tx).await
    }
}

/// By a loop over rusqlite: pages of eight partitions, JSON, a fold, upserts and cursors in one
/// transaction.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DrainByHand {
    database: PathBuf,
    batch: usize,
    /// Reads on a thread of its own while the last batch commits.
    ahead: bool,
}

/// Partition, offset, author.
type Row = (i64, i64, i64);

impl DrainByHand {
    pub(crate) fn run(self) -> Result<Drained> {
        let db = database::by_hand(&self.database, "normal")?;
        db.execute_batch("create table hand (number integer primary key, next integer not null)")?;
        db.execute_batch("insert into hand select number, 0 from consign_partition")?;
        let started = Instant::now();
        let batches = if self.ahead { self.read_ahead(&db)? } else { self.in_turn(&db)? };
        Drained::read(&db, started.elapsed().as_secs_f64(), batches)
    }

    fn in_turn(&self, db: &Connection) -> Result<u64> {
        let (mut pages, mut batches) = (Pages::new(&self.database)?, 0);
        loop {
            let rows = pages.next()?;
            if rows.is_empty() {
                return Ok(batches);
            }
            batches += apply_all(db, &rows, self.batch)?;
        }
    }

    fn read_ahead(&self, db: &Connection) -> Result<u64> {
        let (to, pages) = sync_channel::<Vec<Row>>(1);
        let mut reader = Pages::new(&self.database)?;
        let read = std::thread::spawn(move || -> Result {
            loop {
                let rows = reader.next()?;
                if rows.is_empty() || to.send(rows).is_err() {
                    return Ok(());
                }
            }
        });
        let mut batches = 0;
        for rows in pages {
            batches += apply_all(db, &rows, self.batch)?;
        }
        read.join().map_err(|_| "the reading thread panicked")??;
        Ok(batches)
    }
}

struct Pages {
    db: Connection,
    /// The partition's number and the next offset.
    next: Vec<(i64, i64)>,
}

impl Pages {
    fn new(path: &Path) -> Result<Self> {
        let db = database::by_hand(path, "normal")?;
        let next = {
            let mut select = db.prepare(
                "select number, 0 from consign_partition where topic =
                 (select id from consign_topic where name = 'written')",
            )?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        Ok(Self { db, next })
    }

    fn next(&mut self) -> Result<Vec<Row>> {
        let mut select = self.db.prepare_cached(
            "select position, id, kind, version, key, headers, payload, published_at
             from consign_log where position >= ?1 and position < ?2 order by position limit ?3",
        )?;
        let mut page = Vec::new();
        for (number, next) in &mut self.next {
            let bounds = params![*number << 44 | *next, (*number + 1) << 44, PAGE];
            let mut rows = select.query(bounds)?;
            while let Some(row) = rows.next()? {
                let written: Written = serde_json::from_slice(row.get_ref(6)?.as_blob()?)?;
                let offset = row.get::<_, i64>(0)? & ((1 << 44) - 1);
                page.push((*number, offset, written.author_id));
                *next = offset + 1;
            }
        }
        Ok(page)
    }
}

fn apply_all(db: &Connection, rows: &[Row], batch: usize) -> Result<u64> {
    let mut batches = 0;
    for rows in rows.chunks(batch) {
        apply(db, rows)?;
        batches += 1;
    }
    Ok(batches)
}

fn apply(db: &Connection, rows: &[Row]) -> Result {
    let (mut fold, mut moves) = (BTreeMap::<i64, i64>::new(), BTreeMap::<i64, (i64, i64)>::new());
    for (number, offset, author) in rows {
        *fold.entry(*author).or_default() += 1;
        moves.entry(*number).or_insert((*offset, 0)).1 = offset + 1;
    }
    db.prepare_cached("begin immediate")?.execute([])?;
    let mut advance =
        db.prepare_cached("update hand set next = ?1 where number = ?2 and next = ?3")?;
    for (number, (from, to)) in moves {
        verify("cursors moved", advance.execute([to, number, from])? as i64, 1)?;
    }
    let mut upsert = db.prepare_cached(
        "insert into author_counts (author_id, articles) values (?1, ?2)
         on conflict (author_id) do update set articles = articles + excluded.articles",
    )?;
    for (author, count) in fold {
        upsert.execute([author, count])?;
    }
    db.prepare_cached("commit")?.execute([])?;
    Ok(())
}
