//! Who waits for the write lock keeps no thread of the runtime, and goes when it is too late.

use crate::database::{Database, Liked};
use consign::sqlite::{Consign, Transaction};
use consign::topic;
use std::time::Duration;

/// Ends a transaction a little later, on the test's only thread.
fn ends_soon(tx: Transaction) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        tx.commit().await.unwrap();
    });
}

#[tokio::test]
async fn publish_in_lets_other_tasks_go_on_while_it_waits_for_the_lock() {
    let d = Database::new().await;
    d.consign.publish(&Liked { article_id: 1 }).await.unwrap();
    ends_soon(d.consign.begin().await.unwrap());
    let mut tx = d.pool.begin().await.unwrap();
    d.consign.publish_in(&mut tx, &Liked { article_id: 2 }).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(d.number("select count(*) from consign_log").await, 2);
}

#[tokio::test]
async fn an_open_with_topics_lets_other_tasks_go_on_while_it_waits_for_the_lock() {
    let d = Database::new().await;
    ends_soon(d.consign.begin().await.unwrap());
    Consign::builder(&d.pool).topic(topic::<Liked>()).open().await.unwrap();
    assert_eq!(d.number("select count(*) from consign_topic").await, 1);
}

#[tokio::test]
async fn an_open_that_finds_its_topics_does_not_wait_for_the_lock() {
    let d = Database::new().await;
    d.consign.publish(&Liked { article_id: 1 }).await.unwrap();
    let held = d.consign.begin().await.unwrap();
    Consign::builder(&d.pool).topic(topic::<Liked>()).open().await.unwrap();
    held.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_that_it_is_too_late_does_not_stand_on() {
    let d = Database::new().await;
    let mut other = d.pool.acquire().await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut *other).await.unwrap();
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let begins = (0..200).map(|_| {
        let consign = d.consign.clone();
        tokio::spawn(async move { consign.begin().await.map(drop) })
    });
    for begin in begins.collect::<Vec<_>>() {
        assert!(begin.await.unwrap().unwrap_err().is_busy());
    }
    let alive = tokio::runtime::Handle::current().metrics().num_alive_tasks() - before;
    assert!(alive < 10, "{alive} of 200 stand on");
    sqlx::raw_sql("rollback").execute(&mut *other).await.unwrap();
    d.like(1).await.unwrap();
}
