//! Old rows are brought in beside those who publish, by a process that is killed on its way.

use crate::child::{Child, Role, open};
use crate::database::Database;
use consign::sqlite::{Consign, Tx};
use consign::{Backfill, Batch, HandlerResult, Message, Projection, Resume, Sum, stream};
use consign_test::Random;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Rows that were there before.
const OLD_ROWS: i64 = 100_000;
const WRITERS: i64 = 8;
const KILLS: i64 = 10;
/// Rows of a piece.
const PIECE: i64 = 50;
const BACKFILLED_WITHIN: Duration = Duration::from_mins(2);

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "row.written", topic = "rows", key = owner)]
struct Written {
    row_id: i64,
    owner: i64,
}

const TABLES: &str = "create table rows (id integer primary key, owner integer not null) strict;
    create table owner_counts (owner integer primary key, rows integer not null) strict;
    create table found (row_id integer primary key) strict;
    with recursive old (id) as (select 1 union all select id + 1 from old where id < 100000)
    insert into rows select id, id % 1000 from old;";

/// Keeps each row that there is, as an index would.
struct Found;

impl Projection<Tx> for Found {
    type Event = Written;

    /// Reads the current row; it may have been brought in already.
    async fn apply(&self, batch: Batch<Written>, mut tx: Tx) -> HandlerResult {
        for event in &batch {
            let insert = "insert into found select id from rows where id = ?1
                          on conflict do nothing";
            sqlx::query(insert).bind(event.row_id).execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn reset(&self, mut tx: Tx) -> HandlerResult {
        sqlx::query("delete from found").execute(&mut *tx).await?;
        Ok(())
    }

    /// Refused by the table's key if it were made twice.
    async fn backfill(&self, from: Option<Resume>, mut tx: Tx) -> HandlerResult<Backfill> {
        let after = from.map_or(Ok(0), |from| from.parse::<i64>())?;
        let piece = "insert into found select id from rows where id > ?1 order by id limit ?2
                     returning row_id";
        let piece = sqlx::query_scalar::<_, i64>(piece).bind(after).bind(PIECE);
        let last = piece.fetch_all(&mut *tx).await?.into_iter().max();
        Ok(last.map_or(Backfill::Done, |last| Backfill::More(Resume::at(last))))
    }
}

/// The role [`Role::Backfills`].
pub(crate) async fn work(folder: &Path) {
    let counts = Sum::into("owner_counts", "owner", "rows").by(|row: &Written| (row.owner, 1));
    let counts = counts.backfill("select owner, count(*) from rows group by owner");
    let workers = open(folder).await.workers();
    let workers = workers.subscribe(stream("counts", counts)).subscribe(stream("found", Found));
    let _running = workers.start().await.unwrap();
    std::future::pending::<()>().await;
}

/// Writes rows and publishes them until it is told to stop.
fn write(consign: &Consign, stop: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<()>> {
    let writers = (0..WRITERS).map(|writer| {
        let (consign, stop) = (consign.clone(), Arc::clone(stop));
        tokio::spawn(async move {
            let mut owner = writer;
            while !stop.load(Ordering::SeqCst) {
                write_one(&consign, owner).await;
                owner = (owner + WRITERS) % 1_000;
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        })
    });
    writers.collect()
}

async fn write_one(consign: &Consign, owner: i64) {
    let mut tx = consign.begin().await.unwrap();
    let insert = sqlx::query_scalar("insert into rows (owner) values (?1) returning id");
    let row_id = insert.bind(owner).fetch_one(&mut *tx).await.unwrap();
    tx.publish(&Written { row_id, owner }).await.unwrap();
    tx.commit().await.unwrap();
}

/// State, and how far it has come.
async fn progress(d: &Database) -> (String, i64) {
    let select = "select state, cast(coalesce(resume, 0) as integer) from consign_subscription
                  where name = 'found'";
    let found = sqlx::query_as(select).fetch_optional(&d.pool).await.unwrap();
    found.unwrap_or_else(|| ("new".to_owned(), 0))
}

/// Waits until the backfill is past a row; fails where it goes back.
async fn passes(d: &Database, row: i64, before: &mut i64) {
    let until = Instant::now() + BACKFILLED_WITHIN;
    while *before < row {
        let (state, now) = progress(d).await;
        assert!(now >= *before, "it went back from {before} to {now}");
        assert_ne!(state, "running", "it was done before it was killed for the last time");
        *before = now;
        assert!(Instant::now() < until, "it stands at {now}");
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

const DIFFERENT: &str = "select count(*) from
    (select owner, count(*) n from rows group by owner) stored
    full join owner_counts using (owner) where rows is not n";
const NOT_FOUND: &str = "select count(*) from rows full join found on id = row_id
    where id is null or row_id is null";
const LAG: &str = "select (select sum(next_offset) * 2 from consign_partition)
    - (select sum(next_offset) from consign_cursor)";

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_beside_eight_writers_counts_and_finds_every_row_through_ten_kills() {
    let mut random = Random::new("a backfill");
    let d = Database::new().await;
    sqlx::raw_sql(TABLES).execute(&d.pool).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers = write(&d.consign, &stop);
    let mut before = 0;
    for kill in 0..KILLS {
        let mut worker = Child::start(Role::Backfills, d.folder.path());
        // Anywhere in its part of the first half: the rest leaves time for the last kill.
        let part = usize::try_from(OLD_ROWS / (2 * KILLS)).unwrap();
        let row = usize::try_from(kill).unwrap() * part + random.below(part);
        passes(&d, i64::try_from(row).unwrap().max(before + 1), &mut before).await;
        worker.assert_runs();
        worker.kill();
        let (state, now) = progress(&d).await;
        assert!(state == "backfilling" && now >= before, "killed too late: {state} {now}");
        before = now;
    }
    let mut worker = Child::start(Role::Backfills, d.folder.path());
    let until = Instant::now() + BACKFILLED_WITHIN;
    while progress(&d).await.0 != "running" {
        assert!(Instant::now() < until, "it stands at {}", progress(&d).await.1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    d.becomes(LAG, 0).await;
    worker.assert_runs();
    assert!(d.number("select count(*) from rows").await > OLD_ROWS + WRITERS, "nobody wrote");
    assert_eq!(d.number(DIFFERENT).await, 0, "counted is not stored");
    assert_eq!(d.number(NOT_FOUND).await, 0, "found is not what there is");
}
