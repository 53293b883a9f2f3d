//! Messages that are of use for a while: a queue gives up what it would begin with later.

use crate::database::{Database, Liked, likes};
use consign::sqlite::Tx;
use consign::{HandlerResult, Retry, queue, stream};
use sqlx::SqliteConnection;
use std::time::{Duration, SystemTime};

const EXPIRED: &str = "select count(*) from consign_dead_letter where reason = 'expired'";
const HANDLED: &str = "select coalesce(sum(likes), 0) from like_counts";
const HOUR: Duration = Duration::from_hours(1);

async fn count(liked: &Liked, tx: &mut SqliteConnection) -> HandlerResult {
    let count = "insert into like_counts (article_id, likes) values (?1, 1)
                 on conflict (article_id) do update set likes = likes + 1";
    sqlx::query(count).bind(liked.article_id).execute(tx).await?;
    Ok(())
}

async fn one(liked: Liked, mut tx: Tx) -> HandlerResult {
    count(&liked, &mut tx).await
}

async fn several(all: Vec<Liked>, mut tx: Tx) -> HandlerResult {
    for liked in &all {
        count(liked, &mut tx).await?;
    }
    Ok(())
}

/// Every third is of no use any more, before a worker runs.
async fn publish(d: &Database) {
    for article_id in 0..30 {
        let wait = if article_id % 3 == 0 { Duration::ZERO } else { HOUR };
        d.consign
            .publish(&Liked { article_id: article_id % 5 })
            .deliver_within(wait)
            .await
            .unwrap();
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_a_dead_letter_and_no_handler_sees_it() {
    async fn outside(liked: Liked) -> HandlerResult {
        assert!(liked.article_id % 5 < 5);
        Ok(())
    }
    async fn all_outside(all: Vec<Liked>) -> HandlerResult {
        assert!(all.iter().all(|liked| liked.article_id % 5 < 5));
        Ok(())
    }
    let d = Database::new().await;
    publish(&d).await;
    let workers = d.consign.workers();
    let workers = workers.subscribe(queue("one", one).from_start());
    let workers = workers.subscribe(queue("several", several).from_start());
    let workers = workers.subscribe(queue("outside", outside).from_start());
    let running =
        workers.subscribe(queue("all_outside", all_outside).from_start()).start().await.unwrap();
    d.becomes(EXPIRED, 40).await;
    d.becomes(HANDLED, 40).await;
    d.becomes("select sum(applied) from consign_cursor", 80).await;
    running.shutdown().await.unwrap();
    assert_eq!(d.number("select sum(attempts) from consign_dead_letter").await, 0);
    assert_eq!(d.number("select count(*) from consign_done").await, 0, "the cursors passed all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_applies_what_has_expired() {
    let d = Database::new().await;
    publish(&d).await;
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    d.becomes(HANDLED, 30).await;
    running.shutdown().await.unwrap();
    assert_eq!(d.number(EXPIRED).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_would_begin_too_late_is_given_up() {
    async fn fail(_: Liked) -> HandlerResult {
        Err("the mail server is away")?
    }
    let d = Database::new().await;
    let wait = Duration::from_millis(300);
    d.consign.publish(&Liked { article_id: 1 }).deliver_within(wait).await.unwrap();
    let retry = Retry::exponential(Duration::from_millis(10), Duration::from_millis(20));
    let queue = queue("fail", fail).from_start().retry(retry.max_attempts(100_000));
    let running = d.consign.workers().subscribe(queue).start().await.unwrap();
    d.becomes(EXPIRED, 1).await;
    running.shutdown().await.unwrap();
    assert!(d.number("select attempts from consign_dead_letter").await > 1);
    assert_eq!(d.number("select count(*) from consign_retry").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_later_is_of_use_from_then_on() {
    let d = Database::new().await;
    let running = d.consign.workers().subscribe(queue("one", one).from_start()).start().await;
    let wait = Duration::from_millis(300);
    let publish = d.consign.publish(&Liked { article_id: 1 });
    publish.after(wait).deliver_within(Duration::from_secs(20)).await.unwrap();
    let earlier = SystemTime::now() - HOUR;
    let publish = d.consign.publish(&Liked { article_id: 2 });
    publish.at(earlier).deliver_within(Duration::from_secs(20)).await.unwrap();
    d.becomes(HANDLED, 2).await;
    running.unwrap().shutdown().await.unwrap();
    let header = "select count(*) from consign_log
                  where json_extract(headers, '$.expirytime') like '20__-__-__T__:__:%Z'";
    assert_eq!(d.number(header).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_an_expired_message_its_key_goes_on() {
    async fn outside(_: Vec<Liked>) -> HandlerResult {
        Ok(())
    }
    let d = Database::new().await;
    let liked = Liked { article_id: 1 };
    for n in 0..20 {
        let wait = if n % 2 == 0 { Duration::ZERO } else { HOUR };
        d.consign.publish(&liked).deliver_within(wait).await.unwrap();
    }
    let workers = d.consign.workers().subscribe(queue("outside", outside).from_start());
    let running = workers.start().await.unwrap();
    d.becomes("select sum(applied) from consign_cursor", 10).await;
    d.becomes(EXPIRED, 10).await;
    d.consign.publish(&liked).await.unwrap();
    d.becomes("select sum(applied) from consign_cursor", 11).await;
    running.shutdown().await.unwrap();
}
