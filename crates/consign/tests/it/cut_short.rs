//! A runtime ends under a request, and the handle lives on with another: nothing stays open, and
//! nobody waits for what is gone.

use crate::database::{Database, Liked};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(4);

/// Lets a future come to where it waits, on a runtime that then ends.
fn stands<F>(future: F)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let runtime = Runtime::new().unwrap();
    let stood = runtime.spawn(future);
    runtime.block_on(async {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    });
    assert!(!stood.is_finished(), "there is nothing to cut short");
}

async fn like(d: &Database) {
    timeout(LONG, d.like(1)).await.expect("it waits for who is gone").unwrap();
}

#[test]
fn a_transaction_ends_with_its_runtime_and_is_not_committed_by_another() {
    let (first, second) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let d = second.block_on(Database::new());
    let consign = d.consign.clone();
    let (said, holds) = std::sync::mpsc::channel();
    first.spawn(async move {
        let mut tx = consign.begin().await.unwrap();
        let insert = "insert into likes (article_id) values (666)";
        sqlx::query(insert).execute(&mut *tx).await.unwrap();
        said.send(()).unwrap();
        std::future::pending::<()>().await;
        drop(tx);
    });
    holds.recv().unwrap();
    drop(first);
    second.block_on(async {
        let other = sqlx::query("insert into likes (article_id) values (2)").execute(&d.pool);
        timeout(LONG, other).await.expect("the lock is still held").unwrap();
        like(&d).await;
        assert_eq!(d.number("select count(*) from likes where article_id = 666").await, 0);
    });
}

#[test]
fn who_stood_in_line_on_a_runtime_that_ended_is_not_waited_for() {
    let runtime = Runtime::new().unwrap();
    let d = runtime.block_on(Database::new());
    let held = runtime.block_on(d.consign.begin()).unwrap();
    let consign = d.consign.clone();
    stands(async move { consign.begin().await });
    runtime.block_on(async {
        held.rollback().await.unwrap();
        like(&d).await;
    });
}

#[test]
fn a_publish_is_served_after_the_runtime_of_who_served_has_ended() {
    let runtime = Runtime::new().unwrap();
    let d = runtime.block_on(Database::new());
    let held = runtime.block_on(d.consign.begin()).unwrap();
    let consign = d.consign.clone();
    stands(async move { consign.publish(&Liked { article_id: 1 }).await });
    runtime.block_on(async {
        held.rollback().await.unwrap();
        let publish = d.consign.publish(&Liked { article_id: 2 }).into_future();
        timeout(LONG, publish).await.expect("it waits for who is gone").unwrap();
    });
}

#[test]
fn a_publish_outside_of_a_runtime_is_refused_and_the_next_one_works() {
    let runtime = Runtime::new().unwrap();
    let d = runtime.block_on(Database::new());
    let liked = Liked { article_id: 1 };
    let mut outside = Box::pin(d.consign.publish(&liked).into_future());
    let polled = outside.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, std::task::Poll::Ready(Err(error)) if error.code() == "stopped"));
    runtime.block_on(async {
        let publish = d.consign.publish(&liked).into_future();
        timeout(LONG, publish).await.expect("it waits for who never came").unwrap();
    });
}
