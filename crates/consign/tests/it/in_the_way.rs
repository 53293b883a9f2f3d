//! What goes wrong in one subscription, and must not keep the others, or a request, waiting.

use crate::database::{Database, Liked, likes};
use consign::sqlite::Tx;
use consign::{Batch, HandlerResult, Projection, stream};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const LONG: &str = "with recursive c(n) as (select 1 union all select n + 1 from c
    where n < 40000000) select count(*) from c";

/// Counts messages, and takes its time.
#[derive(Clone, Default)]
struct Slow {
    applied: Arc<AtomicUsize>,
    each: Duration,
}

impl Slow {
    fn each(milliseconds: u64) -> Self {
        Self { each: Duration::from_millis(milliseconds), ..Self::default() }
    }

    async fn has_applied(&self, wanted: usize, within: Duration) {
        let until = Instant::now() + within;
        while self.applied.load(Ordering::SeqCst) < wanted {
            let applied = self.applied.load(Ordering::SeqCst);
            assert!(Instant::now() < until, "applied {applied} and not {wanted} in {within:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Projection<Tx> for Slow {
    type Event = Liked;

    async fn apply(&self, batch: Batch<Liked>, _: Tx) -> HandlerResult {
        self.applied.fetch_add(batch.len(), Ordering::SeqCst);
        tokio::time::sleep(self.each).await;
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

async fn is_free(lock: &Path) {
    let (lock, until) = (File::open(lock).unwrap(), Instant::now() + Duration::from_secs(10));
    while lock.try_lock().is_err() {
        assert!(Instant::now() < until, "somebody has the turn, and nobody works");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Its process lives on: the kernel frees nothing.
#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_dropped_while_they_wait_for_their_turn_give_it_back() {
    let d = Database::new().await;
    for article_id in 0..600 {
        d.consign.publish(&Liked { article_id }).await.unwrap();
    }
    let (holds, waits, works) = (Slow::each(100), Slow::each(0), Slow::each(0));
    let start = |consign: consign::sqlite::Consign, name: &'static str, slow: Slow| async move {
        let stream = stream(name, slow).batch_max(1);
        consign.workers().subscribe(stream).start().await.unwrap()
    };
    let (second, third) = (d.again().await, d.again().await);
    let holding = start(d.consign.clone(), "holds", holds.clone()).await;
    let waiting = start(second.clone(), "waits", waits.clone()).await;
    waits.has_applied(1, Duration::from_secs(20)).await;
    let held = holds.applied.load(Ordering::SeqCst);
    holds.has_applied(held + 1, Duration::from_secs(20)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(waiting);
    holding.shutdown().await.unwrap();
    is_free(&d.folder.path().join("app.db-turn")).await;
    let working = start(third, "works", works.clone()).await;
    works.has_applied(100, Duration::from_secs(10)).await;
    working.shutdown().await.unwrap();
    drop(second);
}

struct Forgets;

impl Projection<Tx> for Forgets {
    type Event = Liked;

    async fn apply(&self, _: Batch<Liked>, tx: Tx) -> HandlerResult {
        std::mem::forget(tx);
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_end_in_time_while_a_projection_keeps_its_transaction() {
    let d = Database::new().await;
    d.like(1).await.unwrap();
    let forgets = stream("keeps-its-tx", Forgets);
    let running = d.consign.workers().subscribe(forgets).start().await.unwrap();
    crate::said::listen();
    crate::said::line(&["keeps-its-tx", "kept its `Tx`"]).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), running.shutdown()).await;
    let refused = ended.expect("the end is not waited for for ever").unwrap_err();
    assert!(refused.is_busy(), "{refused:?}");
}

struct Long;

impl Projection<Tx> for Long {
    type Event = Liked;

    async fn apply(&self, _: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        let _: i64 = sqlx::query_scalar(LONG).fetch_one(&mut *tx).await?;
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_loses_the_write_lock_in_the_middle_of_a_statement() {
    let d = Database::new().await;
    d.like(1).await.unwrap();
    crate::said::listen();
    let long = stream("long-statement", Long).timeout(Duration::from_millis(100));
    let running = d.consign.workers().subscribe(long).start().await.unwrap();
    let begun = Instant::now();
    crate::said::line(&["long-statement", "took longer than 100ms"]).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "said after {:?}", begun.elapsed());
    running.shutdown().await.unwrap();
    d.like(2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_subscribed_twice_is_refused_before_anything_is_written() {
    let d = Database::new().await;
    let (one, two) = (stream("same", Slow::each(0)), stream("same", likes()));
    let started = d.consign.workers().subscribe(one).subscribe(two).start().await;
    let refused = started.unwrap_err();
    assert_eq!(refused.code(), "subscribed-twice");
    assert!(refused.to_string().contains("same"), "{refused}");
    assert!(d.consign.subscriptions().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_select_of_a_backfill_may_take_longer_than_a_batch() {
    let d = Database::new().await;
    let select = "with recursive c(n) as (select 1 union all select n + 1 from c where n < 3000000)
        select 1, count(*) from c";
    let sum = stream("likes", likes().backfill(select)).timeout(Duration::from_millis(100));
    let running = d.consign.workers().subscribe(sum).start().await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_counts", 3_000_000).await;
    running.shutdown().await.unwrap();
}
