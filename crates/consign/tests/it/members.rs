//! What the members of a shared commit owe each other: none waits for ever, and none fails alone
//! for what another did without being told so.

use crate::database::{Database, Liked};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(3);

/// So many looks of others at what they wait for.
async fn looks() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_and_a_begin_that_are_joined_do_not_wait_for_each_other() {
    let d = Database::new().await;
    for _ in 0..20 {
        let tx = d.consign.begin().await.unwrap();
        let commit = async {
            tokio::task::yield_now().await;
            tx.commit().await
        };
        let both = timeout(LONG, async { tokio::join!(d.consign.begin(), commit) }).await;
        let (next, committed) = both.expect("each waits for the other");
        committed.unwrap();
        next.unwrap().rollback().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_roll_back_without_end_keep_no_commit_waiting() {
    let d = Database::new().await;
    let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let tasks = (0..4).map(|_| {
        let (consign, stop, turns) = (d.consign.clone(), Arc::clone(&stop), Arc::clone(&turns));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let mut tx = consign.begin().await.unwrap();
                sqlx::query("select 1").execute(&mut *tx).await.unwrap();
                turns.fetch_add(1, Ordering::SeqCst);
                tx.rollback().await.unwrap();
            }
        })
    });
    let tasks = tasks.collect::<Vec<_>>();
    let mut committed = true;
    for _ in 0..20 {
        let mut tx = d.consign.begin().await.unwrap();
        tx.publish(&Liked { article_id: 1 }).await.unwrap();
        committed &= timeout(LONG, tx.commit()).await.is_ok_and(|end| end.is_ok());
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(committed, "a commit waits for as long as others roll back");
    assert!(turns.load(Ordering::SeqCst) > 20, "nobody was in the way");
}

/// On one thread, so that who is spawned first stands in line first.
#[tokio::test]
async fn who_waits_for_a_strangers_transaction_is_told_that_the_outcome_is_unknown() {
    let d = Database::new().await;
    let first = d.consign.begin().await.unwrap();
    let consign = d.consign.clone();
    let waits = tokio::spawn(async move {
        let mut tx = consign.begin().await?;
        tx.publish(&Liked { article_id: 1 }).await?;
        tx.commit().await
    });
    looks().await;
    let consign = d.consign.clone();
    let (told, hear) = tokio::sync::oneshot::channel::<()>();
    let stranger = tokio::spawn(async move {
        let tx = consign.begin().await.unwrap();
        hear.await.unwrap();
        tx.rollback().await
    });
    looks().await;
    first.rollback().await.unwrap();
    let waited = timeout(Duration::from_secs(20), waits).await.expect("it waits without a bound");
    let error = waited.unwrap().unwrap_err();
    assert!(error.is_unknown() && !error.is_retryable(), "{error:?}");
    told.send(()).unwrap();
    stranger.await.unwrap().unwrap();
    assert_eq!(d.number("select count(*) from consign_log").await, 1, "it was kept in the end");
}

/// On one thread, so that who is spawned first stands in line first.
#[tokio::test]
async fn a_transaction_known_to_be_long_keeps_no_commit_waiting() {
    let d = Database::new().await;
    let consign = d.consign.clone();
    let begin = || consign.begin();
    let long = begin().await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    long.rollback().await.unwrap();
    let first = d.consign.begin().await.unwrap();
    let consign = d.consign.clone();
    let quick = tokio::spawn(async move { consign.begin().await?.commit().await });
    looks().await;
    let again = tokio::spawn(begin());
    looks().await;
    first.rollback().await.unwrap();
    let held = again.await.unwrap().unwrap();
    timeout(LONG, quick).await.expect("it waits for the long one").unwrap().unwrap();
    held.rollback().await.unwrap();
}

const CHILDREN: &str = "create table parent (id integer primary key);
    create table child (parent integer references parent (id) deferrable initially deferred)";

#[tokio::test(flavor = "multi_thread")]
async fn a_deferred_foreign_key_that_is_broken_fails_its_own_request_alone() {
    for broken in [0, 5, 11] {
        let d = Database::new().await;
        sqlx::raw_sql(CHILDREN).execute(&d.pool).await.unwrap();
        let first = d.consign.begin().await.unwrap();
        let others = (0..12).map(|n| child(&d, n, n == broken)).collect::<Vec<_>>();
        looks().await;
        first.rollback().await.unwrap();
        for (n, other) in (0..).zip(others) {
            let ended = other.await.unwrap();
            assert_eq!(ended.is_err(), n == broken, "request {n}: {ended:?}");
            if let Err(error) = ended {
                assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
            }
        }
        assert_eq!(d.number("select count(*) from consign_log").await, 11);
        assert_eq!(d.number("select count(*) from child").await, 0);
    }
}

fn child(d: &Database, n: i64, is_broken: bool) -> JoinHandle<consign::Result> {
    let consign = d.consign.clone();
    tokio::spawn(async move {
        let mut tx = consign.begin().await?;
        if is_broken {
            let insert = "insert into child (parent) values (99)";
            sqlx::query(insert).execute(&mut *tx).await.unwrap();
        }
        tx.publish(&Liked { article_id: n }).await?;
        tx.commit().await.map(drop)
    })
}

/// Three in one group: the first writes, the second reads that and rolls back, the third ends the
/// transaction of all.
#[tokio::test(flavor = "multi_thread")]
async fn who_read_what_was_never_kept_is_told_so() {
    let (mut read, mut told) = (0, 0);
    for _ in 0..10 {
        let d = Database::new().await;
        let first = d.consign.begin().await.unwrap();
        let consign = d.consign.clone();
        let writes = tokio::spawn(async move {
            let mut tx = consign.begin().await?;
            let insert = "insert into likes (article_id) values (1)";
            sqlx::query(insert).execute(&mut *tx).await.unwrap();
            tx.commit().await.map(drop)
        });
        looks().await;
        let consign = d.consign.clone();
        let reads = tokio::spawn(async move {
            let mut tx = consign.begin().await.unwrap();
            let select = sqlx::query_scalar::<_, i64>("select count(*) from likes");
            let seen = select.fetch_one(&mut *tx).await.unwrap();
            (seen, tx.rollback().await)
        });
        looks().await;
        let consign = d.consign.clone();
        let leaves = tokio::spawn(async move {
            let mut tx = consign.begin().await.unwrap();
            let _ = sqlx::raw_sql("rollback").execute(&mut *tx).await;
            tx.commit().await
        });
        looks().await;
        first.rollback().await.unwrap();
        let ((seen, rolled_back), wrote) = (reads.await.unwrap(), writes.await.unwrap());
        assert!(leaves.await.unwrap().is_err());
        let kept = d.number("select count(*) from likes").await;
        assert_eq!(wrote.is_ok(), kept == 1);
        if seen > kept {
            let error = rolled_back.expect_err("it read a row that never was");
            assert_eq!((error.code(), error.is_retryable()), ("group-failed", true));
            told += 1;
        }
        read += seen;
    }
    println!("{read} read, {told} were told");
    assert!(told > 0, "no group came about");
}
