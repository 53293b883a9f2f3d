//! `tx.run`: the application's own statements through rusqlite, in the transaction at hand.

use crate::database::{Database, Liked};
use consign::sqlite::{Run, Tx, rusqlite};
use consign::{HandlerResult, Retry, queue};
use std::error::Error as _;
use std::time::Duration;

const LIKES: &str = "select coalesce(sum(likes), 0) from like_counts";

async fn count(likes: Vec<Liked>, mut tx: Tx) -> HandlerResult {
    let refused = tx
        .run(|db| {
            let mut count = db.prepare_cached(
                "insert into like_counts (article_id, likes) values (?1, 1)
                 on conflict (article_id) do update set likes = likes + 1",
            )?;
            for Liked { article_id } in &likes {
                count.execute([article_id])?;
            }
            Ok(likes.iter().any(|liked| liked.article_id == 13))
        })
        .await?;
    if refused { Err("thirteen is refused")? } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_runs_commits_with_its_ledger_and_is_rolled_back_with_it() {
    let d = Database::new().await;
    let likes = (0..1_000).map(|n| Liked { article_id: n % 20 }).collect::<Vec<_>>();
    d.consign.publish_all(&likes).await.unwrap();
    let once = Retry::exponential(Duration::from_millis(1), Duration::from_millis(1));
    let queue = queue("count", count).from_start().retry(once.max_attempts(1));
    let running = d.consign.workers().subscribe(queue).start().await.unwrap();
    d.becomes("select count(*) from consign_dead_letter", 50).await;
    d.becomes(LIKES, 950).await;
    running.shutdown().await.unwrap();
    let exact = "select count(*) from like_counts where likes = 50 and article_id <> 13";
    assert_eq!(d.number(exact).await, 19);
}

#[tokio::test]
async fn a_request_runs_its_statements_beside_what_it_publishes() {
    let d = Database::new().await;
    let insert = |db: &rusqlite::Connection| {
        db.execute("insert into likes (article_id) values (7)", [])?;
        Ok(db.last_insert_rowid())
    };
    let mut tx = d.consign.begin().await.unwrap();
    let id = tx.run(insert).await.unwrap();
    tx.publish(&Liked { article_id: 7 }).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = d.consign.begin().await.unwrap();
    assert_eq!(tx.run(insert).await.unwrap(), id + 1);
    tx.rollback().await.unwrap();
    assert_eq!(d.number("select count(*) from likes").await, 1);
    assert_eq!(d.number("select count(*) from consign_log").await, 1);
}

#[tokio::test]
async fn what_sqlite_refuses_is_the_source_of_the_error() {
    let d = Database::new().await;
    let mut tx = d.consign.begin().await.unwrap();
    let twice = "insert into likes (id) values (1), (1)";
    let refused = tx.run(|db| db.execute(twice, [])).await.unwrap_err();
    assert_eq!(refused.code(), "database");
    let source = refused.source().unwrap().downcast_ref::<rusqlite::Error>().unwrap();
    let constraint = Some(rusqlite::ErrorCode::ConstraintViolation);
    assert_eq!(source.sqlite_error_code(), constraint);
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn a_commit_of_the_applications_own_is_refused() {
    let d = Database::new().await;
    let mut tx = d.consign.begin().await.unwrap();
    let ended = tx.run(|db| db.execute_batch("insert into likes (id) values (1); commit")).await;
    ended.unwrap_err();
    tx.commit().await.unwrap_err();
    assert_eq!(d.number("select count(*) from likes").await, 0);
}
