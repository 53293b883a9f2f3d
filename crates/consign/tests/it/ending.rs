//! A transaction ends when consign ends it: SQL that leaves it changes nothing, doubles nothing and
//! loses nothing.

use crate::database::{Database, Liked};
use consign::sqlite::Tx;
use consign::{Batch, Error, HandlerResult, Projection, Retry, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Ways to leave a transaction, each after an effect.
const WAYS: [(&str, &str); 4] = [
    ("a raw COMMIT", "commit"),
    ("ROLLBACK; BEGIN", "rollback; begin"),
    ("INSERT OR ROLLBACK", "insert or rollback into once values (1)"),
    ("RAISE(ROLLBACK)", "insert into guarded values (-1)"),
];

const TABLES: &str = "create table once (n integer primary key) strict;
    insert into once values (1);
    create table guarded (n integer) strict;
    create trigger guard before insert on guarded when new.n < 0
      begin select raise(rollback, 'no'); end;
    create table effects (n integer) strict;";

/// Leaves the transaction a few times, swallows what SQLite says, goes on writing; then behaves.
struct Leaves {
    sql: &'static str,
    calls: Arc<AtomicUsize>,
}

const MISBEHAVES: usize = 2;

fn quickly() -> Retry {
    Retry::exponential(Duration::from_millis(1), Duration::from_millis(5))
}

async fn effect(tx: &mut Tx) -> HandlerResult {
    sqlx::query("insert into effects values (1)").execute(&mut **tx).await?;
    Ok(())
}

impl Projection<Tx> for Leaves {
    type Event = Liked;

    async fn apply(&self, _: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        effect(&mut tx).await?;
        if self.calls.fetch_add(1, Ordering::SeqCst) < MISBEHAVES {
            let _ = sqlx::raw_sql(self.sql).execute(&mut *tx).await;
            let _ = effect(&mut tx).await;
        }
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_leaves_its_transaction_has_its_effect_once_all_the_same() {
    for (name, sql) in WAYS {
        let d = Database::new().await;
        sqlx::raw_sql(TABLES).execute(&d.pool).await.unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let leaves = Leaves { sql, calls: Arc::clone(&calls) };
        let running =
            d.consign.workers().subscribe(stream("leaves", leaves).retry(quickly())).start().await;
        let running = running.unwrap();
        d.like(1).await.unwrap();
        d.becomes("select count(*) from effects", 1).await;
        d.becomes("select count(*) from consign_retry", 0).await;
        running.shutdown().await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), MISBEHAVES + 1, "{name}");
        assert_eq!(d.number("select count(*) from effects").await, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_leaves_its_transaction_is_told_and_the_next_one_works() {
    for (name, sql) in WAYS {
        let d = Database::new().await;
        sqlx::raw_sql(TABLES).execute(&d.pool).await.unwrap();
        let mut tx = d.consign.begin().await.unwrap();
        sqlx::query("insert into effects values (1)").execute(&mut *tx).await.unwrap();
        tx.publish(&Liked { article_id: 1 }).await.unwrap();
        let _ = sqlx::raw_sql(sql).execute(&mut *tx).await;
        let refused = tx.publish(&Liked { article_id: 1 }).await.unwrap_err();
        assert_eq!(refused.code(), "transaction-left", "{name}");
        assert_eq!(tx.commit().await.unwrap_err().code(), "transaction-left", "{name}");
        assert_eq!(d.number("select count(*) from effects").await, 0, "{name}");
        assert_eq!(d.number("select count(*) from consign_log").await, 0, "{name}");
        d.like(1).await.unwrap();
        assert_eq!(d.number("select count(*) from consign_log").await, 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_refused_commit_the_next_request_works() {
    let d = Database::new().await;
    let deferred = "create table parent (id integer primary key);
        create table child (parent integer references parent deferrable initially deferred)";
    sqlx::raw_sql(deferred).execute(&d.pool).await.unwrap();
    let mut tx = d.consign.begin().await.unwrap();
    sqlx::query("insert into child values (7)").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap_err();
    d.like(1).await.unwrap();
    assert_eq!(d.number("select count(*) from child").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_transaction_is_a_savepoint() {
    use sqlx::Connection;
    let d = Database::new().await;
    let mut tx = d.consign.begin().await.unwrap();
    let mut inner = tx.begin().await.unwrap();
    sqlx::query("insert into likes (article_id) values (1)").execute(&mut *inner).await.unwrap();
    inner.rollback().await.unwrap();
    let mut inner = tx.begin().await.unwrap();
    sqlx::query("insert into likes (article_id) values (2)").execute(&mut *inner).await.unwrap();
    inner.commit().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(d.number("select sum(article_id) from likes").await, 2);
}

/// Its rollback is only on its way when the outer transaction ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_nested_transaction_that_was_dropped_is_no_obstacle() {
    use sqlx::Connection;
    let d = Database::new().await;
    for _ in 0..50 {
        let mut tx = d.consign.begin().await.unwrap();
        let mut inner = tx.begin().await.unwrap();
        let insert = sqlx::query("insert into likes (article_id) values (1)");
        insert.execute(&mut *inner).await.unwrap();
        drop(inner);
        tx.publish(&Liked { article_id: 1 }).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(d.number("select count(*) from likes").await, 0);
    assert_eq!(d.number("select count(*) from consign_log").await, 50);
}

/// Fails in a way of its own a few times.
struct Fails {
    how: How,
    calls: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Errors,
    Panics,
    Hangs,
    Publishes,
}

impl Projection<Tx> for Fails {
    type Event = Liked;

    async fn apply(&self, batch: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        for _ in &batch {
            effect(&mut tx).await?;
        }
        if self.calls.fetch_add(1, Ordering::SeqCst) >= MISBEHAVES {
            return Ok(());
        }
        match self.how {
            How::Errors => Err("no")?,
            How::Panics => panic!("a projection's bug"),
            How::Hangs => std::future::pending::<()>().await,
            How::Publishes => {
                let refused = tx.publish(&Liked { article_id: 1 }).await.unwrap_err();
                assert_eq!(Error::code(&refused), "projection-publishes");
                return Err(refused.into());
            }
        }
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_is_tried_again_and_has_its_effect_once() {
    for how in [How::Errors, How::Panics, How::Hangs, How::Publishes] {
        let d = Database::new().await;
        sqlx::raw_sql(TABLES).execute(&d.pool).await.unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let fails = stream("fails", Fails { how, calls: Arc::clone(&calls) });
        let fails = fails.timeout(Duration::from_millis(50)).retry(quickly());
        let running = d.consign.workers().subscribe(fails).start().await.unwrap();
        d.like(1).await.unwrap();
        d.becomes("select count(*) from effects", 1).await;
        d.becomes("select count(*) from consign_retry", 0).await;
        running.shutdown().await.unwrap();
        assert_eq!(d.number("select count(*) from effects").await, 1, "{how:?}");
    }
}
