//! A browser hangs up: the handler's future is dropped wherever it stands.

use crate::database::{Database, Liked, likes};
use consign::stream;
use std::future::poll_fn;
use std::task::Poll;

/// Looks at a future `looks` times, then lets it go.
async fn hang_up<F: Future>(future: F, looks: usize) {
    let mut future = Box::pin(future);
    for _ in 0..looks {
        let pending = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending()));
        if !pending.await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_at_begin_leaves_nothing_open() {
    let d = Database::new().await;
    for round in 0..60 {
        hang_up(d.consign.begin(), 1 + round % 4).await;
        d.like(1).await.unwrap();
    }
    assert_eq!(d.number("select count(*) from consign_log").await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_at_publish_leaves_nothing_half_done() {
    let d = Database::new().await;
    for round in 0..60 {
        let mut tx = d.consign.begin().await.unwrap();
        sqlx::query("insert into likes (article_id) values (1)").execute(&mut *tx).await.unwrap();
        let liked = Liked { article_id: 1 };
        hang_up(tx.publish(&liked).into_future(), 1 + round % 3).await;
        drop(tx);
        let (rows, messages) = ("select count(*) from likes", "select count(*) from consign_log");
        assert_eq!((d.number(rows).await, d.number(messages).await), (0, 0));
    }
    d.like(1).await.unwrap();
    let permits = d.pool.options().get_max_connections();
    let mut all = Vec::new();
    for _ in 0..permits {
        all.push(d.pool.acquire().await.unwrap());
    }
}

/// The wake-up of a commit that happened must not go with the caller.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_at_commit_loses_neither_the_commit_nor_the_wake_up() {
    let d = Database::new().await;
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    for round in 0..60 {
        let mut tx = d.consign.begin().await.unwrap();
        tx.publish(&Liked { article_id: 1 }).await.unwrap();
        hang_up(tx.commit(), 1 + round % 3).await;
    }
    d.becomes("select coalesce(sum(likes), 0) from like_counts", 60).await;
    running.shutdown().await.unwrap();
}
