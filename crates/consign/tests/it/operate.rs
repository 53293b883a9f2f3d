//! What operators ask for, while workers run.

use crate::database::{Database, Liked};
use consign::sqlite::{Consign, Tx};
use consign::{
    Batch, DeadLetter, DeadLetters, HandlerResult, Key, Message, Projection, Reason, Request,
    RequestStatus, Retry, Running, Selection, State, Verdict, queue, stream,
};
use consign_test::Random;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const DONE: &str = "select coalesce(sum(likes), 0) from like_counts";
const DEAD: &str = "select count(*) from consign_dead_letter";
const WAITING: &str = "select count(*) from consign_retry";
const LAG: &str = "select (select sum(next_offset) from consign_partition)
    - (select sum(next_offset) from consign_cursor)";

async fn publish(d: &Database, articles: impl IntoIterator<Item = i64>) {
    let all = articles.into_iter().map(|article_id| Liked { article_id }).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
}

async fn count(article_id: i64, tx: &mut Tx) -> HandlerResult {
    let count = "insert into like_counts (article_id, likes) values (?1, 1)
                 on conflict (article_id) do update set likes = likes + 1";
    sqlx::query(count).bind(article_id).execute(&mut **tx).await?;
    Ok(())
}

/// Articles whose likes are not counted, for now.
#[derive(Clone, Debug, Default)]
struct Refused(Arc<Mutex<BTreeSet<i64>>>);

impl Refused {
    fn these(articles: impl IntoIterator<Item = i64>) -> Self {
        Self(Arc::new(Mutex::new(articles.into_iter().collect())))
    }

    fn nobody_any_more(&self) {
        self.0.lock().unwrap().clear();
    }

    fn check(&self, article_id: i64) -> HandlerResult {
        if self.0.lock().unwrap().contains(&article_id) {
            return Err(Verdict::reject(format!("article {article_id} is not known")));
        }
        Ok(())
    }
}

async fn count_one(liked: Liked, State(refused): State<Refused>, mut tx: Tx) -> HandlerResult {
    count(liked.article_id, &mut tx).await?;
    refused.check(liked.article_id)
}

async fn start(consign: &Consign, name: &str, refused: &Refused) -> Running {
    let workers = consign.workers().with_state(refused.clone());
    workers.subscribe(queue(name, count_one).from_start()).start().await.unwrap()
}

/// Waits until a request is done.
async fn done(d: &Database, request: Request) -> u64 {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let RequestStatus { touched, is_done } = d.consign.request(request).await.unwrap();
        if is_done {
            return touched;
        }
        assert!(Instant::now() < until, "not done, {touched} were touched");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn of(subscription: &str) -> DeadLetters {
    DeadLetters { subscription: Some(subscription.to_owned()), ..DeadLetters::default() }
}

async fn letters(d: &Database) -> Vec<DeadLetter> {
    d.consign.dead_letters(&of("count"), 1_000).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_page_by_page_and_shown_with_their_message() {
    let (d, refused) = (Database::new().await, Refused::these(0..25));
    publish(&d, 0..30).await;
    let running = start(&d.consign, "count", &refused).await;
    d.becomes(DEAD, 25).await;
    d.becomes(DONE, 5).await;
    let (mut wanted, mut seen) = (of("count"), Vec::new());
    loop {
        let page = d.consign.dead_letters(&wanted, 10).await.unwrap();
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        wanted.before = Some(last.id);
        seen.extend(page.into_iter().map(|letter| letter.id));
    }
    assert!(seen.len() == 25 && seen.is_sorted_by(|one, next| one > next), "{seen:?}");
    let (letter, message) = d.consign.dead_letter(seen[0]).await.unwrap().unwrap();
    assert_eq!((letter.reason.as_str(), letter.attempts), (Reason::Rejected.as_str(), 1));
    assert_eq!((letter.topic.as_str(), letter.kind.as_str()), ("likes", "liked"));
    assert!(
        letter.error.ends_with("is not known") && letter.fingerprint.contains('#'),
        "{letter:?}"
    );
    let liked = serde_json::from_slice::<Liked>(&message.payload).unwrap();
    assert_eq!(letter.key, Some(Key::new(liked.article_id.to_string()).unwrap()));
    assert!(d.consign.dead_letter(i64::MAX).await.unwrap().is_none());
    assert!(d.consign.dead_letters(&of("nobody"), 10).await.unwrap().is_empty());
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_message_has_its_effect_once_however_often_it_is_asked_for() {
    let (d, refused) = (Database::new().await, Refused::these([3, 5]));
    publish(&d, 0..8).await;
    let running = start(&d.consign, "count", &refused).await;
    d.becomes(DEAD, 2).await;
    let message = letters(&d).await[0].message;
    refused.nobody_any_more();
    let one = Selection::one(message);
    let mut requests = Vec::new();
    for _ in 0..5 {
        requests.extend(d.consign.redrive("count", &one, None).await);
    }
    let mut touched = 0;
    for request in requests {
        touched += done(&d, request).await;
    }
    assert_eq!(touched, 1, "the others found nothing");
    d.becomes(DONE, 7).await;
    let error = d.consign.redrive("count", &one, None).await.unwrap_err();
    assert_eq!(error.code(), "no-such-message", "its effect has happened");
    let all = Selection::default();
    for wanted in [1, 0, 0] {
        let request = d.consign.redrive("count", &all, None).await.unwrap();
        assert_eq!(done(&d, request).await, wanted);
        d.becomes(WAITING, 0).await;
    }
    assert_eq!(d.number(DONE).await, 8);
    assert_eq!(d.number("select max(likes) from like_counts").await, 1);
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_that_failed_alike_are_redriven_at_a_rate_and_others_are_dropped() {
    let (d, refused) = (Database::new().await, Refused::these(0..40));
    publish(&d, 0..60).await;
    let running = start(&d.consign, "count", &refused).await;
    d.becomes(DEAD, 40).await;
    let discard = Selection::one(letters(&d).await[0].message);
    let request = d.consign.discard("count", &discard).await.unwrap();
    assert_eq!(done(&d, request).await, 1);
    let fingerprint = letters(&d).await[0].fingerprint.clone();
    refused.nobody_any_more();
    let nobody = Selection::alike("another one");
    let request = d.consign.redrive("count", &nobody, None).await.unwrap();
    assert_eq!(done(&d, request).await, 0);
    let (began, rate) = (Instant::now(), NonZeroU32::new(100));
    let request = d.consign.redrive("count", &Selection::alike(fingerprint), rate).await.unwrap();
    assert_eq!(done(&d, request).await, 39);
    assert!(began.elapsed() > Duration::from_millis(300), "39 at 100 a second");
    d.becomes(DONE, 59).await;
    running.shutdown().await.unwrap();
    let counts = "select sum(applied) * 1000 + sum(discarded) from consign_cursor";
    assert_eq!(d.number(counts).await, 59_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_edited_is_handled_with_its_new_payload() {
    let (d, refused) = (Database::new().await, Refused::these([3]));
    publish(&d, [3]).await;
    let running = start(&d.consign, "count", &refused).await;
    d.becomes(DEAD, 1).await;
    let message = letters(&d).await[0].message;
    let request = d.consign.edit("count", message, r#"{"article_id":4}"#).await.unwrap();
    assert_eq!(done(&d, request).await, 1);
    let request = d.consign.redrive("count", &Selection::one(message), None).await.unwrap();
    assert_eq!(done(&d, request).await, 1);
    d.becomes("select coalesce(sum(likes), 0) from like_counts where article_id = 4", 1).await;
    let error = d.consign.edit("count", message, vec![0; 1 << 20]).await.unwrap_err();
    assert_eq!(error.code(), "payload-too-large");
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_an_hour_is_tried_now_when_that_is_asked_for() {
    async fn fail_once(_: Liked, delivery: consign::Delivery) -> HandlerResult {
        if delivery.attempt == 1 { Err("not yet")? } else { Ok(()) }
    }
    let d = Database::new().await;
    publish(&d, [7, 7, 7]).await;
    let hourly = Retry::exponential(Duration::from_hours(1), Duration::from_hours(1));
    let queue = queue("count", fail_once).from_start().retry(hourly.max_attempts(3));
    let running = d.consign.workers().subscribe(queue).start().await.unwrap();
    d.becomes(WAITING, 3).await;
    let parked = d.consign.parked_keys("count", 10).await.unwrap();
    assert_eq!((parked.len(), parked[0].is_paused), (1, false));
    let mut behind = Vec::new();
    for left in [2, 1, 0] {
        let head = d.consign.parked_keys("count", 10).await.unwrap()[0].behind.unwrap();
        assert!(!behind.contains(&head));
        behind.push(head);
        d.consign.retry_now("count", &Selection::one(head)).await.unwrap();
        d.becomes(WAITING, left).await;
        if left > 0 {
            // Its first attempt came at once, and failed.
            d.becomes("select max(attempt) from consign_retry", 2).await;
        }
    }
    running.shutdown().await.unwrap();
    let gone = Selection::one(behind[0]);
    let error = d.consign.retry_now("count", &gone).await.unwrap_err();
    assert_eq!(error.code(), "no-such-message");
    let error = d.consign.retry_now("nobody", &gone).await.unwrap_err();
    assert_eq!(error.code(), "no-such-subscription");
}

/// Waits until a queue that was not paused has handled all.
async fn others_have_handled(d: &Database, messages: i64) {
    let lag = "select (select sum(next_offset) from consign_partition) - sum(next_offset)
        from consign_cursor where subscription =
            (select id from consign_subscription where name = 'other')";
    d.becomes(lag, 0).await;
    assert!(messages <= d.number("select count(*) from consign_log").await);
}

async fn ignore(_: Liked) -> HandlerResult {
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_in_all_processes_and_is_remembered() {
    let (d, nobody) = (Database::new().await, Refused::default());
    let running = start(&d.consign, "count", &nobody).await;
    publish(&d, 0..10).await;
    d.becomes(DONE, 10).await;
    let elsewhere = d.again().await;
    elsewhere.pause("count", "anna: a migration").await.unwrap();
    running.shutdown().await.unwrap();
    let workers = d.again().await.workers().with_state(nobody.clone());
    let workers = workers.subscribe(queue("count", count_one));
    let running = workers.subscribe(queue("other", ignore).from_start()).start().await.unwrap();
    publish(&d, 0..10).await;
    others_have_handled(&d, 20).await;
    let all = d.consign.subscriptions().await.unwrap();
    let status = all.iter().find(|status| status.name == "count").unwrap();
    assert_eq!((status.lag, status.state.as_str()), (10, "paused"));
    assert_eq!(d.number(DONE).await, 10);
    elsewhere.resume("count").await.unwrap();
    d.becomes(DONE, 20).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_paused_pauses_all_who_read_it() {
    let (d, nobody) = (Database::new().await, Refused::default());
    let running = start(&d.consign, "count", &nobody).await;
    let twice = start(&d.consign, "twice", &nobody).await;
    publish(&d, 0..10).await;
    d.becomes(DONE, 20).await;
    d.consign.pause_topic("likes", "anna: a migration").await.unwrap();
    let states = || async {
        let all = d.consign.subscriptions().await.unwrap();
        all.into_iter().map(|status| status.state.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(states().await, ["paused", "paused"]);
    d.consign.resume_topic("likes").await.unwrap();
    publish(&d, 0..10).await;
    d.becomes(DONE, 40).await;
    assert_eq!(d.consign.pause_topic("nothing", "").await.unwrap_err().code(), "no-such-topic");
    assert_eq!(d.consign.resume("nobody").await.unwrap_err().code(), "no-such-subscription");
    running.shutdown().await.unwrap();
    twice.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_paused_waits_and_follows_in_order() {
    let (d, nobody) = (Database::new().await, Refused::default());
    let running = start(&d.consign, "count", &nobody).await;
    publish(&d, 0..4).await;
    d.becomes(DONE, 4).await;
    let key = Key::new("2").unwrap();
    let request = d.consign.pause_key("count", &key).await.unwrap();
    assert_eq!(done(&d, request).await, 1);
    publish(&d, (0..40).map(|n| n % 4)).await;
    d.becomes(DONE, 34).await;
    d.becomes(WAITING, 10).await;
    d.becomes(LAG, 0).await;
    let parked = d.consign.parked_keys("count", 10).await.unwrap();
    assert_eq!((parked.len(), parked[0].is_paused, &parked[0].key), (1, true, &key));
    let request = d.consign.resume_key("count", &key).await.unwrap();
    assert_eq!(done(&d, request).await, 1);
    d.becomes(DONE, 44).await;
    assert!(d.consign.parked_keys("count", 10).await.unwrap().is_empty());
    running.shutdown().await.unwrap();
}

/// A kind that neither subscription names.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "disliked", topic = "likes", key = article_id)]
struct Disliked {
    article_id: i64,
}

/// How a like ends: by its number alone, so that each subscription does the same.
fn verdict(number: i64, attempt: u32) -> HandlerResult {
    match number % 10 {
        0 if attempt == 1 => Err("it fails once")?,
        1 => Err("it fails always")?,
        2 => Err(Verdict::reject("never")),
        3 => Err(Verdict::discard("obsolete")),
        4 if number < 20 => Err(Verdict::Snooze(Duration::from_hours(1))),
        _ => Ok(()),
    }
}

async fn mixed(liked: Liked, delivery: consign::Delivery, mut tx: Tx) -> HandlerResult {
    note("queue", liked.article_id, &mut tx).await?;
    verdict(liked.article_id, delivery.attempt)
}

async fn note(who: &str, article_id: i64, tx: &mut Tx) -> HandlerResult {
    let insert = sqlx::query("insert into noted values (?1, ?2)").bind(who).bind(article_id);
    insert.execute(&mut **tx).await?;
    Ok(())
}

struct Mixed;

impl Projection<Tx> for Mixed {
    type Event = Liked;

    async fn apply(&self, batch: Batch<Liked>, mut tx: Tx) -> HandlerResult {
        for liked in &batch {
            note("stream", liked.article_id, &mut tx).await?;
            verdict(liked.article_id, liked.delivery.attempt)?;
        }
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

/// Of a subscription: what its counters say, and what its tables hold.
const COUNTED: &str =
    "select s.name || ': ' || sum(applied) || ' applied, ' || sum(dead) || ' dead, '
    || sum(waiting) || ' waiting, ' || sum(discarded) || ' discarded'
    from consign_cursor c join consign_subscription s on s.id = c.subscription
    group by s.name order by s.name";
const SCANNED: &str = "select s.name || ': '
    || (select count(*) from noted where who = s.name) || ' applied, '
    || (select count(*) from consign_dead_letter d where d.subscription = s.id) || ' dead, '
    || (select count(*) from consign_retry r where r.subscription = s.id) || ' waiting, '
    || ((select count(*) from consign_log where kind = 'liked')
        - (select count(*) from noted where who = s.name)
        - (select count(*) from consign_dead_letter d where d.subscription = s.id)
        - (select count(*) from consign_retry r where r.subscription = s.id)) || ' discarded'
    from consign_subscription s order by s.name";

async fn rows(d: &Database, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(&d.pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_is_applied_and_dead_and_waiting_and_discarded_whatever_happened() {
    let mut random = Random::new("accepted_is_applied_and_dead_and_waiting_and_discarded");
    let d = Database::new().await;
    let noted = "create table noted (who text not null, article_id integer not null)";
    sqlx::raw_sql(noted).execute(&d.pool).await.unwrap();
    let retry = Retry::exponential(Duration::from_millis(1), Duration::from_millis(5));
    let retry = retry.max_attempts(3);
    let workers = d.consign.workers();
    let workers = workers.subscribe(queue("queue", mixed).from_start().retry(retry));
    let running = workers.subscribe(stream("stream", Mixed).retry(retry)).start().await.unwrap();
    for number in 0..300 {
        let article_id = number;
        d.consign.publish(&Liked { article_id }).key(random.below(25)).await.unwrap();
        if random.below(4) == 0 {
            d.consign.publish(&Disliked { article_id }).await.unwrap();
        }
    }
    let lag = "select 2 * (select sum(next_offset) from consign_partition)
        - (select sum(next_offset) from consign_cursor)";
    d.becomes(lag, 0).await;
    let tried = "select count(*) from consign_retry where due_at < unixepoch('subsec') * 1000000
        + 60000000";
    d.becomes(tried, 0).await;
    for name in ["queue", "stream"] {
        let rejected = Selection { reason: Some(Reason::Rejected), ..Selection::default() };
        let request = d.consign.redrive(name, &rejected, None).await.unwrap();
        done(&d, request).await;
        let gone = Selection { reason: Some(Reason::Attempts), ..Selection::default() };
        let request = d.consign.discard(name, &gone).await.unwrap();
        assert!(done(&d, request).await > 0, "{name}: some have failed always");
    }
    d.becomes(tried, 0).await;
    running.shutdown().await.unwrap();
    let counted = rows(&d, COUNTED).await;
    assert_eq!(counted, rows(&d, SCANNED).await);
    assert!(!counted.iter().any(|line| line.contains(" 0 ")), "all of it happened: {counted:?}");
    let skipped = "select count(*) from consign_log where kind = 'disliked'";
    let skipped = 2 * d.number(skipped).await;
    assert_eq!(d.number("select sum(total) from consign_skipped").await, skipped);
    let twice = "select count(*) - count(distinct who || article_id) from noted";
    assert_eq!(d.number(twice).await, 0);
    for status in d.consign.subscriptions().await.unwrap() {
        let waiting = format!(" {} waiting", status.waiting);
        assert!(counted.iter().any(|line| line.contains(&waiting)), "{status:?}, {counted:?}");
    }
}
