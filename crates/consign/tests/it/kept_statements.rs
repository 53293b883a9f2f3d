//! What a write connection keeps between two publishes is its own, and ends with it.

use crate::database::{Database, Liked};
use consign::sqlite::Consign;
use consign::{HandlerResult, queue};
use sqlx::{Connection, SqlitePool};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CLOSE_MAX: Duration = Duration::from_secs(10);

/// SQLite closes nothing while a statement is open; only who closes last deletes the WAL.
#[tokio::test]
async fn a_connection_that_has_published_closes() {
    let Database { pool, consign, folder } = Database::new().await;
    for article_id in 0..3 {
        let mut tx = consign.begin().await.unwrap();
        tx.publish(&Liked { article_id }).await.unwrap();
        tx.commit().await.unwrap();
    }
    closes(&folder, pool, consign).await;
}

/// The same of those that read the log, and what waits.
#[tokio::test]
async fn a_connection_that_has_read_for_a_queue_closes() {
    async fn nothing(_: Liked) -> HandlerResult {
        Ok(())
    }
    let d = Database::new().await;
    let queue = queue("nothing", nothing).from_start();
    let running = d.consign.workers().subscribe(queue).start().await.unwrap();
    d.like(1).await.unwrap();
    d.becomes("select coalesce(sum(next_offset), 0) from consign_cursor", 1).await;
    running.shutdown().await.unwrap();
    let Database { pool, consign, folder } = d;
    closes(&folder, pool, consign).await;
}

async fn closes(folder: &TempDir, pool: SqlitePool, consign: Consign) {
    let wal = folder.path().join("app.db-wal");
    assert!(wal.exists());
    drop(consign);
    pool.close().await;
    let until = Instant::now() + CLOSE_MAX;
    while wal.exists() {
        assert!(Instant::now() < until, "a connection is still open");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_connection_in_the_place_of_a_transactions_own_is_told_from_it() {
    let (d, other) = (Database::new().await, Database::new().await);
    d.like(1).await.unwrap();
    let mut tx = d.consign.begin().await.unwrap();
    let mut theirs = other.pool.acquire().await.unwrap().detach();
    std::mem::swap(&mut *tx, &mut theirs);
    let refused = tx.publish(&Liked { article_id: 2 }).await.unwrap_err();
    assert_eq!(refused.code(), "no-transaction");
    std::mem::swap(&mut *tx, &mut theirs);
    theirs.close().await.unwrap();
    tx.publish(&Liked { article_id: 3 }).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(d.number("select count(*) from consign_log").await, 2);
    assert_eq!(other.number("select count(*) from consign_log").await, 0);
}

/// A table that was changed meanwhile is seen as it is now.
#[tokio::test]
async fn what_is_kept_follows_a_change_of_the_schema() {
    let d = Database::new().await;
    d.like(1).await.unwrap();
    let trigger = "create trigger refuse before insert on consign_log
                   begin select raise(abort, 'not today'); end";
    sqlx::raw_sql(trigger).execute(&d.pool).await.unwrap();
    d.like(1).await.unwrap_err();
    sqlx::raw_sql("drop trigger refuse").execute(&d.pool).await.unwrap();
    d.like(1).await.unwrap();
    let dense = "select count(*) - 1 = max(position & 0xfffffffffff) from consign_log";
    assert_eq!(d.number(dense).await, 1, "what was refused took no offset");
}

/// One partition's offsets follow each other, whatever went to others in between.
#[tokio::test]
async fn a_receipt_tells_where_each_of_many_messages_lies() {
    let d = Database::new().await;
    for _ in 0..2 {
        let likes = (0..40).map(|article_id| Liked { article_id }).collect::<Vec<_>>();
        let mut tx = d.consign.begin().await.unwrap();
        let ids = tx.publish_all(&likes).await.unwrap();
        let receipt = tx.commit().await.unwrap();
        for (id, at) in ids.iter().zip(receipt.messages()) {
            let position = i64::from(at.partition.0) << 44 | at.offset.0.cast_signed();
            let select = "select position from consign_log where id = ?1";
            let found = sqlx::query_scalar::<_, i64>(select).bind(&id.0.as_bytes()[..]);
            assert_eq!(found.fetch_one(&d.pool).await.unwrap(), position);
        }
    }
    assert_eq!(d.number("select count(*) from consign_log").await, 80);
    assert_eq!(d.number("select sum(next_offset) from consign_partition").await, 80);
}
