//! Streams whose messages fail: poison harms itself alone, a key waits in order, an outage counts
//! nothing.

use crate::database::{Database, Liked};
use consign::sqlite::{Consign, Tx};
use consign::{Batch, HandlerResult, Projection, Retry, Verdict, stream, topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const ROWS: &str = "select count(*) from seen";
const WAITING: &str = "select count(*) from consign_retry";
const DEAD: &str = "select count(*) from consign_dead_letter";

/// Notes what it applied, and refuses one article while it is told to.
#[derive(Clone)]
struct Refuses {
    article_id: i64,
    refuses: Arc<AtomicBool>,
}

impl Projection<Tx> for Refuses {
    type Event = Liked;

    async fn apply(&self, batch: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        for liked in &batch {
            let insert = sqlx::query("insert into seen (article_id, attempt) values (?1, ?2)");
            let insert = insert.bind(liked.article_id).bind(liked.delivery.attempt);
            insert.execute(&mut *tx).await?;
            if liked.article_id == self.article_id && self.refuses.load(Ordering::Relaxed) {
                Err("refused")?;
            }
        }
        Ok(())
    }

    async fn reset(&self, mut tx: Tx) -> HandlerResult {
        sqlx::query("delete from seen").execute(&mut *tx).await?;
        Ok(())
    }
}

async fn database() -> Database {
    let d = Database::new().await;
    let seen = "create table seen (id integer primary key, article_id integer, attempt integer)";
    sqlx::raw_sql(seen).execute(&d.pool).await.unwrap();
    d
}

fn refuses(article_id: i64) -> Refuses {
    Refuses { article_id, refuses: Arc::new(AtomicBool::new(true)) }
}

async fn publish(d: &Database, messages: i64, keys: i64) {
    let all = (0..messages).map(|n| Liked { article_id: n % keys }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
}

fn quickly(attempts: u32) -> Retry {
    Retry::exponential(Duration::from_millis(5), Duration::from_millis(20)).max_attempts(attempts)
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_among_a_streams_messages_ends_as_a_dead_letter_and_the_others_are_applied() {
    let d = database().await;
    publish(&d, 2_000, 2_000).await;
    let stream = stream("seen", refuses(777)).retry(quickly(3));
    let running = d.consign.workers().subscribe(stream).start().await.unwrap();
    d.becomes(ROWS, 1_999).await;
    d.becomes(DEAD, 1).await;
    running.shutdown().await.unwrap();
    assert_eq!(d.number("select attempts from consign_dead_letter").await, 3);
    assert_eq!(d.number("select count(distinct article_id) from seen").await, 1_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn later_messages_of_a_key_wait_behind_the_one_that_failed_and_follow_in_order() {
    let d = database().await;
    let projection = refuses(1);
    let refuses = Arc::clone(&projection.refuses);
    publish(&d, 30, 3).await;
    let stream = stream("seen", projection).retry(quickly(10_000));
    let running = d.consign.workers().subscribe(stream).start().await.unwrap();
    d.becomes(WAITING, 10).await;
    d.becomes(ROWS, 20).await;
    publish(&d, 3, 3).await;
    d.becomes(WAITING, 11).await;
    refuses.store(false, Ordering::Relaxed);
    d.becomes(WAITING, 0).await;
    d.becomes(ROWS, 33).await;
    publish(&d, 3, 3).await;
    d.becomes(ROWS, 36).await;
    running.shutdown().await.unwrap();
    assert_eq!(d.number("select count(*) from consign_parked_key").await, 0);
    let first = "select attempt > 1 from seen where article_id = 1 order by id limit 1";
    assert_eq!(d.number(first).await, 1, "the one that failed comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_every_key_fails_alike_pauses_and_counts_no_attempt() {
    struct Out(Arc<AtomicBool>);
    impl Projection<Tx> for Out {
        type Event = Liked;

        async fn apply(&self, batch: Batch<Liked>, mut tx: Tx) -> HandlerResult {
            if self.0.load(Ordering::Relaxed) {
                return Err(Verdict::Retry("the search server is away".into()));
            }
            for liked in &batch {
                let insert = sqlx::query("insert into seen (article_id, attempt) values (?1, ?2)");
                let insert = insert.bind(liked.article_id).bind(liked.delivery.attempt);
                insert.execute(&mut *tx).await?;
            }
            Ok(())
        }

        async fn reset(&self, _: Tx) -> HandlerResult {
            Ok(())
        }
    }
    let (d, away) = (database().await, Arc::new(AtomicBool::new(true)));
    publish(&d, 200, 200).await;
    let retry = Retry::exponential(Duration::from_secs(30), Duration::from_mins(1));
    let stream = stream("seen", Out(Arc::clone(&away))).retry(retry.max_attempts(2));
    let running = d.consign.workers().subscribe(stream).start().await.unwrap();
    d.becomes("select count(*) from consign_retry where attempt = 1", 4).await;
    away.store(false, Ordering::Relaxed);
    d.becomes(ROWS, 200).await;
    running.shutdown().await.unwrap();
    assert_eq!(d.number("select max(attempt) from seen").await, 1);
    assert_eq!(d.number(DEAD).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_parked_key_is_not_passed_with_another_that_fails() {
    struct RefusesAll(Arc<AtomicBool>);
    impl Projection<Tx> for RefusesAll {
        type Event = Liked;

        async fn apply(&self, batch: Batch<Liked>, mut tx: Tx) -> HandlerResult {
            for liked in &batch {
                let insert = sqlx::query("insert into seen (article_id, attempt) values (?1, 0)");
                insert.bind(liked.article_id).execute(&mut *tx).await?;
                if self.0.load(Ordering::Relaxed) {
                    Err("refused")?;
                }
            }
            Ok(())
        }

        async fn reset(&self, _: Tx) -> HandlerResult {
            Ok(())
        }
    }
    let (d, refuses) = (database().await, Arc::new(AtomicBool::new(true)));
    let one_partition = Consign::builder(&d.pool).topic(topic::<Liked>().partitions(1));
    one_partition.open().await.unwrap();
    let stream = stream("seen", RefusesAll(Arc::clone(&refuses))).retry(quickly(10_000));
    let running = d.consign.workers().subscribe(stream).start().await.unwrap();
    let like = |article_id| Liked { article_id };
    d.consign.publish(&like(1)).await.unwrap();
    d.becomes(WAITING, 1).await;
    d.consign.publish_all(&[like(1), like(1), like(2)]).await.unwrap();
    d.becomes(WAITING, 4).await;
    refuses.store(false, Ordering::Relaxed);
    d.becomes(ROWS, 4).await;
    running.shutdown().await.unwrap();
}
