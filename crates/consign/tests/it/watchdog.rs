//! A consumer that dies, or does not move any more, is built anew.

use crate::database::{Database, Liked};
use crate::said;
use consign::sqlite::Tx;
use consign::{HandlerResult, Message, Retry, State, Sum, queue, stream};
use serde::{Deserialize, Deserializer, Serialize};
use sqlx::SqlitePool;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// One article whose error takes the consumer along.
const CURSED: i64 = 13;
const ARTICLES: i64 = 100;
const LEFT: &str = "select (select coalesce(sum(p.next_offset - c.next_offset), 1)
        from consign_cursor c join consign_partition p on p.number = c.partition)
    + (select count(*) from consign_retry)";
const GIVEN_UP: &str = "select count(*) from consign_dead_letter where reason = 'killed'";
const KEPT: &str = "create table kept (article_id integer not null) strict";
const OTHERS: &str = "select count(distinct article_id) from kept";

/// An error that nobody can read.
#[derive(Debug)]
struct Cursed;

impl fmt::Display for Cursed {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("this error panics when it is shown");
    }
}

impl std::error::Error for Cursed {}

fn quickly() -> Retry {
    Retry::exponential(Duration::from_millis(1), Duration::from_millis(2)).max_attempts(3)
}

async fn restarts(d: &Database) -> u64 {
    d.consign.subscriptions().await.unwrap().remove(0).restarts
}

async fn with_cursed() -> Database {
    let d = Database::new().await;
    sqlx::raw_sql(KEPT).execute(&d.pool).await.unwrap();
    let all = (0..ARTICLES).map(|article_id| Liked { article_id }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
    d
}

/// The message is a dead letter, and all others are handled.
async fn is_given_up(d: &Database) {
    d.becomes(GIVEN_UP, 1).await;
    d.becomes(LEFT, 0).await;
    assert_eq!(d.number(OTHERS).await, ARTICLES - 1);
    assert_eq!(d.number("select count(*) from consign_dead_letter").await, 1);
    assert!(restarts(d).await >= 1, "it was not the watchdog");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_consumer_dies_of_it_is_given_up_and_harms_no_other() {
    async fn keep(liked: Liked, mut tx: Tx) -> HandlerResult {
        let insert = sqlx::query("insert into kept values (?1)").bind(liked.article_id);
        insert.execute(&mut *tx).await?;
        if liked.article_id == CURSED { Err(Cursed)? } else { Ok(()) }
    }
    said::listen();
    let d = with_cursed().await;
    let keep = queue("unlucky", keep).from_start().retry(quickly());
    let running = d.consign.workers().subscribe(keep).start().await.unwrap();
    is_given_up(&d).await;
    said::line(&["WARN", "unlucky", "its consumer is built anew", "panics when it is shown"]).await;
    running.shutdown().await.unwrap();
    assert_eq!(d.number("select count(*) from kept").await, ARTICLES - 1, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_transaction_a_consumer_that_dies_is_built_anew_too() {
    async fn keep(liked: Liked, State(db): State<SqlitePool>) -> HandlerResult {
        if liked.article_id == CURSED {
            Err(Cursed)?;
        }
        sqlx::query("insert into kept values (?1)").bind(liked.article_id).execute(&db).await?;
        Ok(())
    }
    let d = with_cursed().await;
    let workers = d.consign.workers().with_state(d.pool.clone());
    let keep = queue("keeper", keep).from_start().retry(quickly());
    let running = workers.subscribe(keep).start().await.unwrap();
    is_given_up(&d).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_consumer_dies_goes_on_where_it_was() {
    static DIES: AtomicBool = AtomicBool::new(true);
    let d = Database::new().await;
    let dies = |liked: &Liked| {
        // It is caught as any panic of a projection; what it leaves behind is not.
        if liked.article_id == CURSED && DIES.swap(false, Ordering::SeqCst) {
            std::panic::panic_any(Twice);
        }
        (liked.article_id, 1)
    };
    let sum = Sum::into("like_counts", "article_id", "likes").by(dies);
    let running = d.consign.workers().subscribe(stream("likes", sum)).start().await.unwrap();
    let all = (0..ARTICLES).map(|article_id| Liked { article_id }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
    d.becomes("select count(*) from like_counts where likes = 1", ARTICLES).await;
    assert_eq!(restarts(&d).await, 1);
    running.shutdown().await.unwrap();
}

/// Panics again when it is dropped.
struct Twice;

impl Drop for Twice {
    fn drop(&mut self) {
        panic!("twice");
    }
}

/// Who reads it for the first time waits at the door.
static DOOR: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
static HANGS: AtomicBool = AtomicBool::new(true);

fn hang_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = i64::deserialize(deserializer)?;
    if number == CURSED && HANGS.swap(false, Ordering::SeqCst) {
        let is_open = DOOR.0.lock().unwrap();
        drop(DOOR.1.wait_while(is_open, |is_open| !*is_open).unwrap());
    }
    Ok(number)
}

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(kind = "seen", topic = "seen", key = article_id)]
struct Seen {
    #[serde(deserialize_with = "hang_once")]
    article_id: i64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_consumer_whose_look_at_the_log_never_ends_is_built_anew_and_counts_once() {
    let d = Database::new().await;
    let seen = Sum::into("like_counts", "article_id", "likes").by(|m: &Seen| (m.article_id, 1));
    let seen = stream("seen", seen).timeout(Duration::from_secs(1));
    let running = d.consign.workers().subscribe(seen).start().await.unwrap();
    let all = (0..ARTICLES).map(|article_id| Seen { article_id }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
    let begun = Instant::now();
    while restarts(&d).await == 0 {
        assert!(begun.elapsed() < Duration::from_mins(2), "nobody has noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("noticed after {:?}", begun.elapsed());
    d.becomes("select count(*) from like_counts where likes = 1", ARTICLES).await;
    *DOOR.0.lock().unwrap() = true;
    DOOR.1.notify_all();
    d.becomes(LEFT, 0).await;
    running.shutdown().await.unwrap();
    assert_eq!(d.number("select sum(likes) from like_counts").await, ARTICLES);
}
