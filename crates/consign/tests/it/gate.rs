//! Requests first: without the gate workers that drain a backlog overtake a request again and
//! again, since SQLite's own busy handler sleeps ever longer; with it hardly ever.
//!
//! What is compared is not time but how many turns of workers a request waits for, so that a busy
//! machine makes the test slow and not wrong.

use crate::database::{Database, Liked, options};
use consign::sqlite::Tx;
use consign::{Batch, HandlerResult, Projection, Running, stream};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Connection};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const RUN: Duration = Duration::from_secs(4);
/// Overtaken so many times as often without the gate, at least; seen: 20 to 60.
const RATIO_MIN: f64 = 4.0;

const TABLES: &str = "create table turns (n integer not null) strict; insert into turns values (0);
    create table effects (id integer primary key, n integer not null) strict";
/// A turn's work, about a millisecond; the same with and without the gate.
const TURN: &str = "update turns set n = n + 1;
    with recursive ids (id) as (select 1 union all select id + 1 from ids where id < 1000)
    insert into effects select id, 1 from ids where true on conflict do update set n = n + 1";

/// What became of the requests of one run.
#[derive(Debug, Default)]
struct Waits {
    requests: u32,
    failed: u32,
    overtaken: i64,
    longest: Duration,
}

impl Waits {
    fn overtaken_each(&self) -> f64 {
        f64::from(i32::try_from(self.overtaken).unwrap()) / f64::from(self.requests)
    }
}

async fn turns(connection: &mut SqliteConnection) -> i64 {
    sqlx::query_scalar("select n from turns").fetch_one(connection).await.unwrap()
}

/// Makes requests one after the other; `request` answers how many turns there were when it began.
async fn requests(d: &Database, mut request: impl AsyncFnMut() -> Result<i64, String>) -> Waits {
    let mut look = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    let (mut waits, until) = (Waits::default(), Instant::now() + RUN);
    while Instant::now() < until {
        let (before, asked) = (turns(&mut look).await, Instant::now());
        waits.requests += 1;
        match request().await {
            Ok(begun) => waits.overtaken += begun - before,
            Err(_) => waits.failed += 1,
        }
        waits.longest = waits.longest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waits
}

async fn database() -> Database {
    let d = Database::new().await;
    sqlx::raw_sql(TABLES).execute(&d.pool).await.unwrap();
    d
}

/// Workers and requests with SQLite's busy handler.
async fn without_gate() -> Waits {
    let d = database().await;
    let patient = options(d.folder.path()).busy_timeout(Duration::from_secs(5));
    let stop = Arc::new(AtomicBool::new(false));
    let workers = (0..WORKERS).map(|_| {
        let (patient, stop) = (patient.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let options = patient.synchronous(sqlx::sqlite::SqliteSynchronous::Normal);
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            while !stop.load(Ordering::SeqCst) {
                let turn = format!("begin immediate; {TURN}; commit");
                // Busy for five seconds: again.
                let _ = sqlx::raw_sql(AssertSqlSafe(turn)).execute(&mut connection).await;
            }
        })
    });
    let workers = workers.collect::<Vec<_>>();
    let pool = SqlitePool::connect_with(patient).await.unwrap();
    let waits = requests(&d, async || {
        let tx = pool.begin_with("BEGIN IMMEDIATE").await;
        let mut tx = tx.map_err(|error| error.to_string())?;
        let begun = turns(&mut tx).await;
        d.consign.publish_in(&mut tx, &Liked { article_id: 1 }).await.unwrap();
        tx.commit().await.map_err(|error| error.to_string())?;
        Ok(begun)
    });
    let waits = waits.await;
    stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    waits
}

/// Does a turn's work for each batch.
struct Works;

impl Projection<Tx> for Works {
    type Event = Liked;

    async fn apply(&self, _: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        sqlx::raw_sql(TURN).execute(&mut *tx).await?;
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

async fn worker(d: &Database, number: usize) -> Running {
    let works = stream(&format!("works-{number}"), Works).batch_max(10);
    d.again().await.workers().subscribe(works).start().await.unwrap()
}

async fn with_gate() -> Waits {
    let d = database().await;
    // More than is drained.
    for _ in 0..6 {
        d.consign.publish_all(&vec![Liked { article_id: 1 }; 5_000]).await.unwrap();
    }
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        workers.push(worker(&d, number).await);
    }
    d.becomes("select min(n, 20) from turns", 20).await;
    let waits = requests(&d, async || {
        let mut tx = d.consign.begin().await.map_err(|error| error.to_string())?;
        let begun = turns(&mut tx).await;
        tx.publish(&Liked { article_id: 1 }).await.map_err(|error| error.to_string())?;
        tx.commit().await.map_err(|error| error.to_string())?;
        Ok(begun)
    });
    let waits = waits.await;
    for status in d.consign.subscriptions().await.unwrap() {
        assert!(status.lag > 0, "{} had nothing to do any more", status.name);
    }
    for worker in workers {
        worker.shutdown().await.unwrap();
    }
    waits
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_gate_requests_are_overtaken_many_times_as_often() {
    let (without, with) = (without_gate().await, with_gate().await);
    println!("without the gate {without:?}, with it {with:?}");
    assert_eq!(with.failed, 0, "{with:?}");
    assert!(with.requests > 20, "{with:?}");
    let (without, with) = (without.overtaken_each(), with.overtaken_each());
    assert!(without > RATIO_MIN * with.max(1.0), "{without} against {with} turns a request");
}

/// While some process shows that one of its requests waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_lets_a_waiting_request_go_first_for_25_ms_and_no_longer() {
    const HELD: Duration = Duration::from_secs(1);
    let d = database().await;
    for _ in 0..4 {
        d.consign.publish_all(&vec![Liked { article_id: 1 }; 5_000]).await.unwrap();
    }
    let worker = worker(&d, 0).await;
    d.becomes("select min(n, 20) from turns", 20).await;
    let wait = File::open(d.folder.path().join("app.db-wait")).unwrap();
    let mut look = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    wait.lock_shared().unwrap();
    let (before, since) = (turns(&mut look).await, Instant::now());
    tokio::time::sleep(HELD).await;
    let taken = turns(&mut look).await - before;
    let most = i64::try_from(since.elapsed().as_millis() / 25).unwrap() + 2;
    wait.unlock().unwrap();
    assert!((1..=most).contains(&taken), "{taken} turns, and {most} at most");
    assert!(d.consign.subscriptions().await.unwrap()[0].lag > 0, "it had nothing to do any more");
    worker.shutdown().await.unwrap();
}
