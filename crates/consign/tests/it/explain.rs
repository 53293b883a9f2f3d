//! The one cause why a subscription does not move: each is brought about, and is named.

use crate::child::{Child, Role};
use crate::database::{Database, Liked, likes};
use consign::sqlite::{Consign, Tx};
use consign::{
    Backfill, Batch, HandlerResult, Key, Message, Order, Projection, Resume, Retry, Running, State,
    SubscriptionState, SubscriptionStatus, Verdict, queue, stream,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

async fn status_of(consign: &Consign, name: &str) -> Option<SubscriptionStatus> {
    let all = consign.subscriptions().await.unwrap();
    all.into_iter().find(|status| status.name == name)
}

/// Waits until a subscription is in this state for a cause with all of these words in it.
async fn explains(
    d: &Database,
    name: &str,
    state: SubscriptionState,
    words: &[&str],
) -> SubscriptionStatus {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let status = status_of(&d.consign, name).await;
        if let Some(status) = &status {
            let cause = status.cause.as_deref().unwrap_or_default();
            if status.state == state && words.iter().all(|word| cause.contains(word)) {
                return status.clone();
            }
        }
        assert!(Instant::now() < until, "not {state:?} for {words:?}: {status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn publish(d: &Database, messages: i64, keys: i64) {
    let all = (0..messages).map(|n| Liked { article_id: n % keys }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
}

async fn nothing(_: Liked) -> HandlerResult {
    Ok(())
}

/// A queue that does what `refuses` says, with each article.
async fn refusing(
    d: &Database,
    order: Order,
    retry: Retry,
    refuses: fn(i64) -> HandlerResult,
) -> Running {
    async fn handle(
        liked: Liked,
        State(refuses): State<fn(i64) -> HandlerResult>,
    ) -> HandlerResult {
        refuses(liked.article_id)
    }
    let workers = d.consign.workers().with_state(refuses);
    let queue = queue("mailer", handle).from_start().order(order).retry(retry);
    workers.subscribe(queue).start().await.unwrap()
}

fn quickly() -> Retry {
    Retry::exponential(Duration::from_millis(1), Duration::from_millis(2)).max_attempts(3)
}

fn hourly() -> Retry {
    Retry::exponential(Duration::from_hours(1), Duration::from_hours(1)).max_attempts(9)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_it_is_idle_and_says_so() {
    let d = Database::new().await;
    publish(&d, 20, 20).await;
    let running = refusing(&d, Order::ParkKey, quickly(), |_| Ok(())).await;
    let status = explains(&d, "mailer", SubscriptionState::Idle, &["at the end"]).await;
    assert_eq!((status.lag, status.waiting, status.dead), (0, 0, 0));
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_it_says_why_and_since_when_before_anything_else() {
    let d = Database::new().await;
    publish(&d, 20, 20).await;
    let running = refusing(&d, Order::ParkKey, quickly(), |_| Ok(())).await;
    explains(&d, "mailer", SubscriptionState::Idle, &[]).await;
    d.consign.pause("mailer", "anna: the mail server moves").await.unwrap();
    running.shutdown().await.unwrap();
    publish(&d, 1, 1).await;
    let words = ["paused for", " s: anna: the mail server moves"];
    explains(&d, "mailer", SubscriptionState::Paused, &words).await;
    d.consign.resume("mailer").await.unwrap();
    explains(&d, "mailer", SubscriptionState::Stalled, &["no worker of it is alive"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_killed_is_not_alive_whatever_its_lease_says() {
    let d = Database::new().await;
    let mut child = Child::start(Role::CountsLikes, d.folder.path());
    d.like(1).await.unwrap();
    d.becomes("select coalesce(sum(likes), 0) from like_counts", 1).await;
    let name = status_names(&d).await.remove(0);
    let status = explains(&d, &name, SubscriptionState::Idle, &[]).await;
    assert_eq!(status.owners.len(), 1, "{status:?}");
    child.kill();
    let leased = "select count(*) from consign_worker
                  where alive_until > unixepoch('subsec') * 1000000";
    let words = ["no worker of it is alive"];
    let status = explains(&d, &name, SubscriptionState::Stalled, &words).await;
    assert!(status.owners.is_empty(), "{status:?}");
    assert_eq!(d.number(leased).await, 1, "its lease runs still");
}

async fn status_names(d: &Database) -> Vec<String> {
    d.consign.subscriptions().await.unwrap().into_iter().map(|status| status.name).collect()
}

/// Brings old rows in as soon as it may.
struct Fills(Arc<AtomicBool>);

impl Projection<Tx> for Fills {
    type Event = Liked;

    async fn apply(&self, _: Batch<Liked>, _: Tx) -> HandlerResult {
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }

    async fn backfill(&self, _: Option<Resume>, _: Tx) -> HandlerResult<Backfill> {
        if self.0.load(Ordering::SeqCst) { Ok(Backfill::Done) } else { Err("the archive is away")? }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_that_is_not_done_is_named_and_why_it_fails() {
    let (d, may) = (Database::new().await, Arc::new(AtomicBool::new(false)));
    let fills = stream("search", Fills(Arc::clone(&may)));
    let running = d.consign.workers().subscribe(fills).start().await.unwrap();
    let words = ["its backfill is not done", "the archive is away"];
    explains(&d, "search", SubscriptionState::Rebuilding, &words).await;
    may.store(true, Ordering::SeqCst);
    explains(&d, "search", SubscriptionState::Idle, &["at the end"]).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_named_while_it_lasts_and_is_forgotten_with_its_process() {
    async fn keep(liked: Liked, mut tx: Tx) -> HandlerResult {
        let insert = sqlx::query("insert into kept values (?1)").bind(liked.article_id);
        insert.execute(&mut *tx).await?;
        Ok(())
    }
    let d = Database::new().await;
    publish(&d, 20, 5).await;
    let keep = || queue("keeper", keep).from_start();
    let running = d.consign.workers().subscribe(keep()).start().await.unwrap();
    let words = ["counts no attempt", "no such table: kept"];
    explains(&d, "keeper", SubscriptionState::Stalled, &words).await;
    let standstills = "select count(*) from consign_standstill";
    assert_eq!(d.number(standstills).await, 1, "one of a process");
    running.shutdown().await.unwrap();
    assert_eq!(d.number(standstills).await, 0, "it went with the process");
    explains(&d, "keeper", SubscriptionState::Stalled, &["no worker"]).await;
    let running = d.consign.workers().subscribe(keep()).start().await.unwrap();
    explains(&d, "keeper", SubscriptionState::Stalled, &words).await;
    sqlx::raw_sql("create table kept (article_id integer)").execute(&d.pool).await.unwrap();
    explains(&d, "keeper", SubscriptionState::Idle, &["at the end"]).await;
    d.becomes(standstills, 0).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streams_outage_is_named_too() {
    struct Keeps;
    impl Projection<Tx> for Keeps {
        type Event = Liked;

        async fn apply(&self, batch: Batch<Liked>, mut tx: Tx) -> HandlerResult {
            for liked in &batch {
                let insert = sqlx::query("insert into kept values (?1)").bind(liked.article_id);
                insert.execute(&mut *tx).await?;
            }
            Ok(())
        }

        async fn reset(&self, _: Tx) -> HandlerResult {
            Ok(())
        }
    }
    let d = Database::new().await;
    publish(&d, 200, 50).await;
    let running = d.consign.workers().subscribe(stream("keeper", Keeps)).start().await.unwrap();
    let words = ["no such table: kept", "waits for"];
    explains(&d, "keeper", SubscriptionState::Stalled, &words).await;
    sqlx::raw_sql("create table kept (article_id integer)").execute(&d.pool).await.unwrap();
    explains(&d, "keeper", SubscriptionState::Idle, &["at the end"]).await;
    d.becomes("select count(*) from consign_standstill", 0).await;
    running.shutdown().await.unwrap();
}

/// The kind of [`Liked`] in a later build.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "liked", version = 2, topic = "likes", key = article_id)]
struct LikedMuch {
    article_id: i64,
    much: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_is_named_where_a_partition_waits_for_it() {
    let d = Database::new().await;
    let workers = d.consign.workers().subscribe(queue("mailer", nothing).from_start());
    let running = workers.subscribe(stream("counter", likes())).start().await.unwrap();
    d.consign.publish(&LikedMuch { article_id: 1, much: true }).await.unwrap();
    let id = newest_id(&d).await;
    for name in ["mailer", "counter"] {
        let words = ["partition", "waits for", "version 2", "newer build", &id];
        let status = explains(&d, name, SubscriptionState::Stalled, &words).await;
        assert_eq!(status.lag, 1);
    }
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_a_stream_cannot_decode_is_named_until_it_is_mended() {
    let d = Database::new().await;
    publish(&d, 1, 1).await;
    let id = newest_id(&d).await;
    sqlx::raw_sql("update consign_log set payload = x'00'").execute(&d.pool).await.unwrap();
    let running = d.consign.workers().subscribe(stream("counter", likes())).start().await.unwrap();
    let words = ["partition", "cannot be decoded", &id];
    explains(&d, "counter", SubscriptionState::Stalled, &words).await;
    let mend = r#"update consign_log set payload = cast('{"article_id":1}' as blob)"#;
    sqlx::raw_sql(mend).execute(&d.pool).await.unwrap();
    explains(&d, "counter", SubscriptionState::Idle, &["at the end"]).await;
    running.shutdown().await.unwrap();
}

/// The id of the newest message, as it is written.
async fn newest_id(d: &Database) -> String {
    let select = "select lower(hex(id)) from consign_log order by published_at desc limit 1";
    let id = sqlx::query_scalar::<_, String>(select).fetch_one(&d.pool).await.unwrap();
    let parts = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]];
    parts.join("-")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_parked_names_the_message_it_waits_behind_and_its_next_attempt() {
    let d = Database::new().await;
    publish(&d, 1, 1).await;
    let id = newest_id(&d).await;
    publish(&d, 9, 3).await;
    let running = refusing(&d, Order::ParkKey, hourly(), |article_id| {
        if article_id == 0 { Err("no such address")? } else { Ok(()) }
    });
    let running = running.await;
    let words = ["the key 0 waits behind", &id, "attempt 2 comes in", " min", "no such address"];
    let status = explains(&d, "mailer", SubscriptionState::Idle, &words).await;
    assert_eq!((status.lag, status.waiting), (0, 4), "others flow: {status:?}");
    let key = Key::new("0").unwrap();
    d.consign.pause_key("mailer", &key).await.unwrap();
    explains(&d, "mailer", SubscriptionState::Idle, &["the key 0 is paused for"]).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_alone_is_named() {
    let d = Database::new().await;
    publish(&d, 1, 1).await;
    let id = newest_id(&d).await;
    publish(&d, 3, 3).await;
    let running = refusing(&d, Order::Skip, hourly(), |article_id| {
        if article_id == 0 { Err(Verdict::Snooze(Duration::from_hours(2))) } else { Ok(()) }
    });
    let running = running.await;
    let words = ["waits: attempt 1 comes in", "asked to be called again"];
    let status = explains(&d, "mailer", SubscriptionState::Idle, &words).await;
    assert!(status.cause.unwrap().contains(&id), "the first of two");
    assert_eq!(status.waiting, 2);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_blocks_its_partition_is_named() {
    let d = Database::new().await;
    publish(&d, 5, 1).await;
    let running = refusing(&d, Order::Block, hourly(), |_| Err("no such address")?).await;
    let words = ["partition", "waits for", "attempt 2 comes before others"];
    let status = explains(&d, "mailer", SubscriptionState::Stalled, &words).await;
    assert_eq!((status.lag, status.waiting), (5, 0));
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scheduled_waits_and_says_when_the_next_is_due() {
    let d = Database::new().await;
    let running = refusing(&d, Order::ParkKey, quickly(), |_| Ok(())).await;
    for hours in [3, 9] {
        let wait = Duration::from_hours(hours);
        d.consign.publish(&Liked { article_id: 1 }).after(wait).await.unwrap();
    }
    let words = ["the next message is due in", " h"];
    let status = explains(&d, "mailer", SubscriptionState::Idle, &words).await;
    assert_eq!(status.waiting, 2);
    sqlx::raw_sql("update consign_scheduled set deliver_at = 0").execute(&d.pool).await.unwrap();
    let status = explains(&d, "mailer", SubscriptionState::Idle, &["at the end"]).await;
    assert_eq!((status.waiting, status.lag), (0, 0), "the count went with the messages");
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_processes_than_partitions_the_others_stand_by() {
    #[derive(Debug, Clone, Serialize, Deserialize, Message)]
    #[message(kind = "rare", topic = "rare")]
    struct Rare {}
    async fn handle(_: Rare) -> HandlerResult {
        Ok(())
    }
    let d = Database::new().await;
    let rare = consign::topic::<Rare>().partitions(1);
    let consign = Consign::builder(&d.pool).topic(rare).open().await.unwrap();
    let first = consign.workers().subscribe(queue("rare", handle)).start().await.unwrap();
    let second = d.again().await.workers().subscribe(queue("rare", handle)).start().await.unwrap();
    d.becomes("select count(*) from consign_cursor where owner is not null", 1).await;
    let status = explains(&d, "rare", SubscriptionState::Idle, &["at the end"]).await;
    let me = std::process::id();
    assert_eq!((status.owners, status.standing_by), (vec![me], vec![me]));
    second.shutdown().await.unwrap();
    assert!(status_of(&d.consign, "rare").await.unwrap().standing_by.is_empty());
    first.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_messages_and_passes_none_is_stalled_and_not_running() {
    async fn wait(_: Liked, State(end): State<Arc<Notify>>) -> HandlerResult {
        end.notified().await;
        end.notify_one();
        Ok(())
    }
    let (d, end) = (Database::new().await, Arc::new(Notify::new()));
    publish(&d, 1, 1).await;
    let workers = d.consign.workers().with_state(Arc::clone(&end));
    let running = workers.subscribe(queue("slow", wait).from_start()).start().await.unwrap();
    d.becomes("select count(*) from consign_cursor where owner is not null", 8).await;
    let status = status_of(&d.consign, "slow").await.unwrap();
    assert_eq!((status.state, status.cause), (SubscriptionState::Running, None));
    let a_minute_later = "update consign_cursor set updated_at = updated_at - 60000000;
        update consign_log set published_at = published_at - 60000000";
    sqlx::raw_sql(a_minute_later).execute(&d.pool).await.unwrap();
    let words = ["no message was passed for 6"];
    explains(&d, "slow", SubscriptionState::Stalled, &words).await;
    end.notify_one();
    explains(&d, "slow", SubscriptionState::Idle, &["at the end"]).await;
    running.shutdown().await.unwrap();
}
