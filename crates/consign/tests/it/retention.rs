//! What nobody needs any more goes, and nothing else does.

use crate::database::{Database, Liked, likes};
use crate::said;
use consign::sqlite::Consign;
use consign::{Message, Running, Sum, stream};
use consign_core::{Clock, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

const DAY: Duration = Duration::from_hours(24);
const LONG: Duration = Duration::from_mins(1);
const LOG: &str = "select count(*) from consign_log";
const OF_LIKES: &str = "select count(*) from consign_log where kind = 'liked'";
const OF_OTHERS: &str = "select count(*) from consign_log where kind = 'other'";
/// What was passed and marked, and is not accounted for.
const LOST: &str = "select sum(abs(next_offset - started_offset + marked
    - applied - dead - waiting - discarded)) from consign_cursor";

#[derive(serde::Serialize, serde::Deserialize, Message)]
#[message(kind = "other", topic = "others")]
struct Other;

/// A clock that a test moves.
#[derive(Clone, Debug, Default)]
struct Ahead(Arc<AtomicU64>);

impl Ahead {
    fn by(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> SystemTime {
        SystemClock.now() + Duration::from_micros(self.0.load(Ordering::SeqCst))
    }
}

async fn open(d: &Database, bytes_max: Option<u64>) -> (Consign, Ahead) {
    let clock = Ahead::default();
    let mut builder = Consign::builder(&d.pool).clock(Arc::new(clock.clone()));
    if let Some(bytes) = bytes_max {
        builder = builder.log_bytes_max(bytes);
    }
    (builder.open().await.unwrap(), clock)
}

async fn publish(consign: &Consign, messages: i64) {
    let all = (0..messages).map(|n| Liked { article_id: n % 100 }).collect::<Vec<_>>();
    for all in all.chunks(5_000) {
        consign.publish_all(all).await.unwrap();
    }
}

/// Starts a stream of its own table.
async fn start(consign: &Consign, name: &str) -> Running {
    let sum = Sum::into("slow_counts", "article_id", "likes");
    let sum = sum.by(|liked: &Liked| (liked.article_id, 1));
    consign.workers().subscribe(stream(name, sum)).start().await.unwrap()
}

async fn make_table(d: &Database) {
    let table = "create table slow_counts (article_id integer primary key, likes integer) strict";
    sqlx::raw_sql(table).execute(&d.pool).await.unwrap();
}

async fn catches_up(consign: &Consign, name: &str) {
    let caught_up = consign.caught_up(name, None).timeout(LONG).await.unwrap();
    assert!(caught_up.is_caught_up(), "{name}: {caught_up:?}");
}

/// Moves the clock from minute to minute, so that the workers look, until they have done something.
async fn looks_until(clock: &Ahead, d: &Database, sql: &'static str, done: impl Fn(i64) -> bool) {
    let until = Instant::now() + LONG;
    while !done(d.number(sql).await) {
        assert!(Instant::now() < until, "{sql} is {}", d.number(sql).await);
        clock.by(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(1_100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_have_read_is_removed_after_a_week_and_offsets_go_on() {
    let d = Database::new().await;
    make_table(&d).await;
    let (consign, clock) = open(&d, None).await;
    publish(&consign, 10_000).await;
    let running = consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    catches_up(&consign, "likes").await;
    clock.by(6 * DAY);
    publish(&consign, 100).await;
    catches_up(&consign, "likes").await;
    assert_eq!(d.number(LOG).await, 10_100, "nothing is a week old");
    clock.by(DAY + DAY / 2);
    looks_until(&clock, &d, LOG, |left| left == 100).await;
    clock.by(6 * DAY);
    looks_until(&clock, &d, LOG, |left| left == 0).await;
    assert_eq!(d.number("select sum(first_offset) from consign_partition").await, 10_100);
    let place = "select cast(sum(next_offset) as integer) from consign_partition";
    publish(&consign, 50).await;
    assert_eq!(d.number(place).await, 10_150, "offsets go on");
    catches_up(&consign, "likes").await;
    assert_eq!(d.number("select sum(likes) from like_counts").await, 10_150);
    let slow = start(&consign, "late").await;
    catches_up(&consign, "late").await;
    assert_eq!(d.number("select sum(likes) from slow_counts").await, 50, "what the log still has");
    assert_eq!(d.number(LOST).await, 0);
    slow.shutdown().await.unwrap();
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_holds_back_what_it_has_not_read_until_nobody_names_it_for_a_week() {
    said::listen();
    let d = Database::new().await;
    make_table(&d).await;
    let (consign, clock) = open(&d, None).await;
    publish(&consign, 100).await;
    let slow = start(&consign, "retired").await;
    catches_up(&consign, "retired").await;
    slow.shutdown().await.unwrap();
    publish(&consign, 500).await;
    consign.publish_all(&[Other, Other]).await.unwrap();
    clock.by(5 * DAY);
    let named = "update consign_subscription set named_at = named_at + 5 * 86400000000";
    sqlx::raw_sql(named).execute(&d.pool).await.unwrap();
    let running = consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    catches_up(&consign, "likes").await;
    clock.by(3 * DAY);
    looks_until(&clock, &d, OF_OTHERS, |left| left == 0).await;
    assert!(d.number(OF_LIKES).await >= 500, "it was named three days ago");
    clock.by(5 * DAY);
    looks_until(&clock, &d, LOG, |left| left == 0).await;
    assert_eq!(d.number("select sum(missed) from consign_cursor").await, 500);
    // The clock of whoever looks is the machine's.
    let silent = "update consign_subscription set named_at = named_at - 40 * 86400000000
                  where name = 'retired'";
    sqlx::raw_sql(silent).execute(&d.pool).await.unwrap();
    let all = consign.subscriptions().await.unwrap();
    let retired = all.into_iter().find(|status| status.name == "retired").unwrap();
    let cause = retired.cause.unwrap();
    assert_eq!(retired.missed, 500);
    assert!(cause.contains("no worker of it is alive; it is retired"), "{cause}");
    assert!(cause.contains("500 messages were removed before it read them"), "{cause}");
    assert_eq!(d.number(LOST).await, 0);
    let slow = start(&consign, "retired").await;
    said::line(&["WARN", "retired", "and is back", "500"]).await;
    publish(&consign, 10).await;
    catches_up(&consign, "retired").await;
    assert_eq!(d.number("select sum(likes) from slow_counts").await, 110);
    assert_eq!(d.number(LOST).await, 0);
    slow.shutdown().await.unwrap();
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_too_large_is_cut_early_but_never_before_it_is_read() {
    let d = Database::new().await;
    make_table(&d).await;
    let (consign, clock) = open(&d, Some(100_000)).await;
    start(&consign, "slow").await.shutdown().await.unwrap();
    publish(&consign, 10_000).await;
    for _ in 0..5 {
        consign.publish_all(&[const { Other }; 1_000]).await.unwrap();
    }
    let running = consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    catches_up(&consign, "likes").await;
    looks_until(&clock, &d, OF_OTHERS, |left| left < 5_000).await;
    assert_eq!(d.number(OF_LIKES).await, 10_000, "one has not read them");
    let slow = start(&consign, "slow").await;
    catches_up(&consign, "slow").await;
    assert_eq!(d.number("select sum(likes) from slow_counts").await, 10_000);
    let bytes = "select sum(length(payload) + length(kind) + coalesce(length(key), 0) + 48)
                 from consign_log";
    looks_until(&clock, &d, bytes, |bytes| bytes <= 100_000).await;
    assert!(d.number(bytes).await > 50_000, "it is about what was asked for");
    slow.shutdown().await.unwrap();
    running.shutdown().await.unwrap();
}
