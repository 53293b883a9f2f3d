//! Streams: what is published has its effect once, and wakes who waits.

use crate::database::{Database, Liked, likes};
use consign::stream;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_counted_once() {
    let d = Database::new().await;
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    for article_id in 0..100 {
        d.like(article_id % 7).await.unwrap();
    }
    d.becomes("select coalesce(sum(likes), 0) from like_counts", 100).await;
    d.becomes("select coalesce(sum(likes), 0) from like_counts where article_id = 1", 15).await;
    running.shutdown().await.unwrap();
    let status = d.consign.subscriptions().await.unwrap();
    assert_eq!((status[0].name.as_str(), status[0].lag), ("likes", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_before_the_subscription_is_read_from_the_logs_start() {
    let d = Database::new().await;
    let all = (0..5_000).map(|n| Liked { article_id: n % 100 }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_counts", 5_000).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_there_before_are_counted_too() {
    let d = Database::new().await;
    sqlx::raw_sql("insert into likes (article_id) values (1), (1), (2)")
        .execute(&d.pool)
        .await
        .unwrap();
    let likes = likes().backfill("select article_id, count(*) from likes group by article_id");
    let running = d.consign.workers().subscribe(stream("likes", likes)).start().await.unwrap();
    d.like(1).await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_counts where article_id = 1", 3).await;
    d.becomes("select coalesce(sum(likes), 0) from like_counts where article_id = 2", 1).await;
    running.shutdown().await.unwrap();
}
