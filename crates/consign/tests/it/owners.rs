//! Many workers of one subscription: even shares, order per key, take-over, fencing.

use crate::database::{Database, Liked, likes, options};
use consign::sqlite::{Consign, Tx};
use consign::{Batch, HandlerResult, Message, Projection, Running, stream};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use std::time::{Duration, Instant};

const OWNED: &str = "select group_concat(n) from
    (select count(*) n from consign_cursor where owner is not null group by owner order by n)";

async fn shares(d: &Database, wanted: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let found: Option<String> = sqlx::query_scalar(OWNED).fetch_one(&d.pool).await.unwrap();
        if found.as_deref() == Some(wanted) {
            return;
        }
        assert!(Instant::now() < until, "shares are {found:?} and not {wanted}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "stepped", topic = "steps", key = key)]
struct Stepped {
    key: i64,
    step: i64,
}

/// Keeps every step as it was applied, and refuses one out of order.
struct Steps;

impl Projection<Tx> for Steps {
    type Event = Stepped;

    async fn apply(&self, batch: Batch<Stepped>, mut tx: Tx) -> HandlerResult {
        for event in &batch {
            let insert = "insert into steps (key, step) values (?1, ?2)";
            sqlx::query(insert).bind(event.key).bind(event.step).execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

const STEPS: &str = "create table steps (n integer primary key, key integer, step integer) strict";
const OUT_OF_ORDER: &str = "select count(*) from
    (select step - row_number() over (partition by key order by n) d from steps) where d <> -1";

async fn worker(d: &Database) -> Running {
    d.again().await.workers().subscribe(stream("steps", Steps)).start().await.unwrap()
}

/// Publishes steps of twenty keys, in order, until it is told to stop; answers how many.
fn publish_steps(
    consign: Consign,
    mut end: tokio::sync::oneshot::Receiver<()>,
) -> tokio::task::JoinHandle<i64> {
    tokio::spawn(async move {
        let mut step = 0;
        while end.try_recv().is_err() {
            let mut tx = consign.begin().await.unwrap();
            let steps = (0..20).map(|key| Stepped { key, step }).collect::<Vec<_>>();
            tx.publish_all(&steps).await.unwrap();
            tx.commit().await.unwrap();
            step += 1;
        }
        step * 20
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_share_evenly_and_keep_order_through_every_hand_over() {
    let d = Database::new().await;
    sqlx::raw_sql(STEPS).execute(&d.pool).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let publishing = publish_steps(d.consign.clone(), stopped);
    let mut workers = vec![worker(&d).await, worker(&d).await];
    shares(&d, "4,4").await;
    for _ in 0..3 {
        workers.push(worker(&d).await);
    }
    shares(&d, "1,1,2,2,2").await;
    for running in workers.drain(1..) {
        running.shutdown().await.unwrap();
    }
    shares(&d, "8").await;
    stop.send(()).unwrap();
    let published = publishing.await.unwrap();
    d.becomes("select count(*) from steps", published).await;
    assert_eq!(d.number(OUT_OF_ORDER).await, 0);
    workers.pop().unwrap().shutdown().await.unwrap();
}

/// Dropping is what a crash is: no hand-over, the lock file's lock just goes.
#[tokio::test(flavor = "multi_thread")]
async fn the_partitions_of_a_dead_worker_are_taken_over_at_once() {
    let d = Database::new().await;
    let subscribed = |consign: Consign| async move {
        consign.workers().subscribe(stream("likes", likes())).start().await.unwrap()
    };
    let (first, second) = (subscribed(d.again().await).await, subscribed(d.again().await).await);
    shares(&d, "4,4").await;
    drop(first);
    let dropped = Instant::now();
    shares(&d, "8").await;
    assert!(
        dropped.elapsed() < Duration::from_secs(5),
        "not after a lease: {:?}",
        dropped.elapsed()
    );
    for article_id in 0..40 {
        d.like(article_id).await.unwrap();
    }
    d.becomes("select coalesce(sum(likes), 0) from like_counts", 40).await;
    second.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_workers_than_partitions_stand_by_and_take_over() {
    let d = Database::new().await;
    let pool = SqlitePool::connect_with(options(d.folder.path())).await.unwrap();
    let narrow = consign::topic::<Liked>().partitions(1);
    let consign = Consign::builder(&pool).topic(narrow).open().await.unwrap();
    let start = || consign.workers().subscribe(stream("likes", likes())).start();
    let (first, second) = (start().await.unwrap(), start().await.unwrap());
    shares(&d, "1").await;
    first.shutdown().await.unwrap();
    d.like(1).await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_counts", 1).await;
    second.shutdown().await.unwrap();
}

/// A cursor that was moved by a newer owner refuses the older one: nothing is doubled.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_epoch_is_past_is_fenced() {
    let d = Database::new().await;
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    d.like(1).await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_counts", 1).await;
    for n in 2..20 {
        // Somebody takes every partition; the worker only finds out at its next batch.
        let mut tx = d.consign.begin().await.unwrap();
        let newer = "update consign_cursor set epoch = epoch + 1";
        sqlx::query(newer).execute(&mut *tx).await.unwrap();
        tx.publish(&Liked { article_id: 1 }).await.unwrap();
        tx.commit().await.unwrap();
        d.becomes("select coalesce(sum(likes), 0) from like_counts", n).await;
    }
    assert_eq!(d.number("select sum(passed) from consign_cursor").await, 19);
    running.shutdown().await.unwrap();
}

/// Nobody was left to notice: the next one that starts clears away what they left.
#[tokio::test(flavor = "multi_thread")]
async fn what_workers_left_that_all_died_is_cleared_away_by_the_next_one() {
    let d = Database::new().await;
    let files = || {
        let names = std::fs::read_dir(d.folder.path()).unwrap().map(|entry| entry.unwrap());
        let names = names.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.contains("-worker-")).collect::<Vec<_>>()
    };
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    // A process that died: its lock is free, its file and its row are there.
    let dead = d.folder.path().join(format!("app.db-worker-{}", "d".repeat(32)));
    std::fs::write(&dead, []).unwrap();
    let row = "insert into consign_worker (id, name, subscriptions, started_at, alive_until)
        values (unhex(?1), 'pid 1', '[1]', 1, unixepoch() * 1000000 - 1)";
    sqlx::query(row).bind("d".repeat(32)).execute(&d.pool).await.unwrap();
    // One that is merely stopped: its lock is held.
    let stop = "update consign_worker set alive_until = 1 where name <> 'pid 1'";
    sqlx::raw_sql(stop).execute(&d.pool).await.unwrap();
    assert_eq!(files().len(), 2);
    let next = d.again().await;
    let next = next.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    assert!(!dead.exists(), "{:?}", files());
    assert_eq!(files().len(), 2, "the stopped one's and the next one's: {:?}", files());
    next.shutdown().await.unwrap();
    running.shutdown().await.unwrap();
}
