//! A worker process is stopped for longer than its lease, with a batch in its hands, and goes on.

use crate::child::{Child, Role};
use crate::database::{Database, Liked, options};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use std::fs::File;
use std::time::{Duration, Instant};

/// Its lease is 30 s.
const TAKEN_OVER: Duration = Duration::from_secs(45);
const ROUNDS: u32 = 8;
const COUNTED: &str = "select coalesce(sum(likes), 0) from like_counts";
const PASSED: &str = "select coalesce(sum(passed), 0) from consign_cursor";
const OWNERS: &str = "select count(distinct owner) from consign_cursor";

async fn publish(d: &Database, likes: i64) {
    let likes = (0..likes).map(|article_id| Liked { article_id }).collect::<Vec<_>>();
    d.consign.publish_all(&likes).await.unwrap();
}

/// Polls for longer than [`Database::becomes`] does.
async fn within<T>(time: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + time;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < until, "within {time:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Stops the worker while it has read a batch and waits to begin its transaction.
///
/// Somebody else holds the write lock, so that it is in no transaction; the turn that it holds
/// says that it wants one.
async fn stop_with_a_batch(d: &Database, worker: &Child) {
    let turn = File::open(d.folder.path().join("app.db-turn")).unwrap();
    let mut other = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    within(Duration::from_secs(20), "it is stopped with a batch", async || {
        publish(d, 500).await;
        sqlx::raw_sql("begin immediate").execute(&mut other).await.unwrap();
        let published = d.number("select count(*) from consign_log").await;
        let waits = d.number(PASSED).await < published && is_held(&turn).await;
        if waits {
            worker.signal("STOP");
        }
        sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
        // Out of its transaction, as was meant: somebody else can write.
        let stopped = waits && is_free(d).await;
        if waits && !stopped {
            worker.signal("CONT");
        }
        stopped.then_some(())
    })
    .await;
}

/// Whether the turn is held, and not just in passing.
async fn is_held(turn: &File) -> bool {
    for _ in 0..10 {
        if turn.try_lock_shared().is_ok() {
            turn.unlock().unwrap();
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

async fn is_free(d: &Database) -> bool {
    let options = options(d.folder.path()).busy_timeout(Duration::from_millis(50));
    let mut probe = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("begin immediate; rollback").execute(&mut probe).await.is_ok()
}

async fn everything_is_counted(d: &Database) {
    let published = d.number("select count(*) from consign_log").await;
    within(TAKEN_OVER, "everything is counted", async || {
        (d.number(COUNTED).await == published).then_some(())
    })
    .await;
    assert_eq!(d.number(PASSED).await, published);
}

async fn counts(d: &Database) -> Child {
    let child = Child::start(Role::CountsLikes, d.folder.path());
    publish(d, 100).await;
    everything_is_counted(d).await;
    child
}

/// The real thing, all of its 30 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_for_longer_than_its_lease_is_replaced_and_doubles_nothing() {
    let d = Database::new().await;
    let mut first = counts(&d).await;
    stop_with_a_batch(&d, &first).await;
    let stopped = Instant::now();
    let mut second = Child::start(Role::CountsLikes, d.folder.path());
    // Its lock says that it lives: only the lease tells.
    everything_is_counted(&d).await;
    assert!(stopped.elapsed() > Duration::from_secs(15), "{:?}", stopped.elapsed());
    publish(&d, 500).await;
    everything_is_counted(&d).await;
    first.signal("CONT");
    publish(&d, 500).await;
    everything_is_counted(&d).await;
    // It is alive again, and has its share.
    d.becomes(OWNERS, 2).await;
    publish(&d, 500).await;
    everything_is_counted(&d).await;
    first.assert_runs();
    second.assert_runs();
}

/// The same with a lease that runs out early, so that what it tries at once is its old batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_after_a_take_over_is_refused() {
    let d = Database::new().await;
    let mut refused = 0;
    for _ in 0..ROUNDS {
        let mut first = counts(&d).await;
        stop_with_a_batch(&d, &first).await;
        sqlx::raw_sql("update consign_worker set alive_until = 1").execute(&d.pool).await.unwrap();
        let second = Child::start(Role::CountsLikes, d.folder.path());
        everything_is_counted(&d).await;
        first.signal("CONT");
        publish(&d, 500).await;
        everything_is_counted(&d).await;
        // Where it had just begun to rest it had no batch, and finds its partitions gone.
        refused += u32::from(first.printed().contains("fenced"));
        first.assert_runs();
        drop(second);
    }
    assert!(refused > 0, "no batch came late in {ROUNDS} rounds");
}
