//! What `Harness` says happens.

use consign::sqlite::Tx;
use consign::{Delivery, HandlerResult, Message, Retry, State, Sum, Verdict, cron, queue, stream};
use consign_test::Harness;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const TABLES: &str = "create table sums (of integer primary key, n integer not null) strict;
    create table rows (of integer not null) strict;";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[message(kind = "ordered", topic = "orders", key = of)]
struct Ordered {
    of: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[message(kind = "digest.due")]
struct DigestDue {}

/// What a fake of the world outside has seen.
#[derive(Clone, Default)]
struct Outside(Arc<Mutex<Vec<i64>>>);

impl Outside {
    fn all(&self) -> Vec<i64> {
        self.0.lock().unwrap().clone()
    }
}

async fn note(m: Ordered, State(outside): State<Outside>) -> HandlerResult {
    outside.0.lock().unwrap().push(m.of);
    Ok(())
}

async fn insert(m: Ordered, State(outside): State<Outside>, mut tx: Tx) -> HandlerResult {
    outside.0.lock().unwrap().push(m.of);
    sqlx::query("insert into rows values (?1)").bind(m.of).execute(&mut *tx).await?;
    Ok(())
}

async fn insert_in_time(m: Ordered, delivery: Delivery, mut tx: Tx) -> HandlerResult {
    if delivery.attempt < 3 {
        return Err(Verdict::from(std::io::Error::other("not yet")));
    }
    sqlx::query("insert into rows values (?1)").bind(m.of).execute(&mut *tx).await?;
    Ok(())
}

async fn tables(db: &sqlx::SqlitePool) -> sqlx::Result<()> {
    sqlx::raw_sql(TABLES).execute(db).await.map(drop)
}

async fn number(t: &Harness, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(t.db()).await.unwrap()
}

async fn counting() -> Harness {
    let sum = || Sum::into("sums", "of", "n").by(|m: &Ordered| (m.of, 1));
    Harness::new(tables, move |workers, _| workers.subscribe(stream("sum", sum()))).await.unwrap()
}

async fn inserting(outside: &Outside) -> Harness {
    let outside = outside.clone();
    let subscribe = move |workers: consign::Workers, _: &sqlx::SqlitePool| {
        workers.with_state(outside.clone()).subscribe(queue("insert", insert))
    };
    Harness::new(tables, subscribe).await.unwrap()
}

#[tokio::test]
async fn what_was_published_is_seen_and_has_its_effect_when_the_workers_run() {
    let mut t = counting().await;
    for of in [1, 2, 1] {
        t.consign().publish(&Ordered { of }).await.unwrap();
    }
    t.consign().publish(&DigestDue {}).await.unwrap();
    let published = t.published::<Ordered>().await.unwrap();
    assert_eq!(published.iter().map(|m| m.of).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(number(&t, "select count(*) from sums").await, 0, "nothing moves by itself");
    t.run_until_idle().await.unwrap();
    assert_eq!(number(&t, "select n from sums where of = 1").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_is_lost_before_its_commit_is_had_once_in_the_end() {
    let outside = Outside::default();
    let mut t = inserting(&outside).await;
    t.consign().publish(&Ordered { of: 7 }).await.unwrap();
    for _ in 0..3 {
        t.crash_before_commit().await.unwrap();
        assert_eq!(number(&t, "select count(*) from rows").await, 0, "it is lost");
    }
    t.run_until_idle().await.unwrap();
    assert_eq!(number(&t, "select count(*) from rows").await, 1);
    assert_eq!(outside.all(), [7; 4], "the handler was called again after each crash");
}

#[tokio::test]
async fn an_effect_that_was_kept_does_not_happen_again_when_its_worker_dies() {
    let (outside, mut counting) = (Outside::default(), counting().await);
    let mut t = inserting(&outside).await;
    for t in [&mut t, &mut counting] {
        t.consign().publish(&Ordered { of: 7 }).await.unwrap();
        t.crash_after_commit_before_ack().await.unwrap();
    }
    assert_eq!(number(&t, "select count(*) from rows").await, 1, "it is kept");
    assert_eq!(number(&counting, "select n from sums").await, 1, "it is kept");
    for t in [&mut t, &mut counting] {
        t.run_until_idle().await.unwrap();
    }
    assert_eq!(number(&t, "select count(*) from rows").await, 1);
    assert_eq!(number(&counting, "select n from sums").await, 1);
    assert_eq!(outside.all(), [7]);
}

#[tokio::test]
async fn what_happened_outside_before_the_marks_were_lost_happens_again() {
    let outside = Outside::default();
    let state = outside.clone();
    let subscribe = move |workers: consign::Workers, _: &sqlx::SqlitePool| {
        workers.with_state(state.clone()).subscribe(queue("note", note))
    };
    let mut t = Harness::new(tables, subscribe).await.unwrap();
    t.consign().publish(&Ordered { of: 7 }).await.unwrap();
    t.crash_before_commit().await.unwrap();
    t.run_until_idle().await.unwrap();
    assert_eq!(outside.all(), [7, 7], "at least once, as it is without `Tx`");
}

#[tokio::test]
async fn retries_and_schedules_come_due_by_the_clock_of_the_test() {
    let retry = Retry::exponential(HOUR, HOUR * 10);
    let subscribe = move |workers: consign::Workers, _: &sqlx::SqlitePool| {
        workers.subscribe(queue("insert", insert_in_time).retry(retry))
    };
    let mut t = Harness::new(tables, subscribe).await.unwrap();
    let begun = t.now();
    t.consign().publish(&Ordered { of: 1 }).after(HOUR * 24).await.unwrap();
    t.run_until_idle().await.unwrap();
    assert_eq!(t.published::<Ordered>().await.unwrap(), []);
    t.advance(HOUR * 24);
    t.run_until_idle().await.unwrap();
    assert_eq!(t.published::<Ordered>().await.unwrap(), [Ordered { of: 1 }]);
    let waiting = |t: &Harness| t.consign().clone();
    let status = waiting(&t).subscriptions().await.unwrap().remove(0);
    assert_eq!((status.waiting, status.dead), (1, 0));
    assert_eq!(number(&t, "select count(*) from rows").await, 0);
    for _ in 0..2 {
        t.advance(HOUR * 10);
        t.run_until_idle().await.unwrap();
    }
    assert_eq!(number(&t, "select count(*) from rows").await, 1);
    assert_eq!(t.now().duration_since(begun).unwrap(), HOUR * 44);
}

#[tokio::test]
async fn a_cron_ticks_when_the_test_puts_the_clock_forward() {
    let subscribe = |workers: consign::Workers, _: &sqlx::SqlitePool| {
        workers.schedule(cron("digest", "0 * * * *", "UTC", || DigestDue {}))
    };
    let mut t = Harness::new(tables, subscribe).await.unwrap();
    assert_eq!(t.published::<DigestDue>().await.unwrap().len(), 0);
    for ticks in 1..=5 {
        t.advance(HOUR);
        t.run_until_idle().await.unwrap();
        assert_eq!(t.published::<DigestDue>().await.unwrap().len(), ticks);
    }
}

async fn is_away(_: Ordered) -> HandlerResult {
    Err(Verdict::outage("the mail server is away"))
}

#[tokio::test]
async fn what_still_waits_is_said_with_its_cause() {
    let subscribe = |workers: consign::Workers, _: &sqlx::SqlitePool| {
        workers.subscribe(queue("mailer", is_away))
    };
    let mut t = Harness::new(tables, subscribe).await.unwrap();
    t.consign().publish(&Ordered { of: 1 }).await.unwrap();
    let error = t.run_until_idle_within(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error.code(), "not-idle");
    let said = error.to_string();
    assert!(said.contains("mailer: 1 messages to pass"), "{said}");
    assert!(said.contains("the mail server is away"), "{said}");
    t.consign().pause("mailer", "somebody looks after it").await.unwrap();
    t.run_until_idle().await.expect("what is paused has nothing to do");
}

#[tokio::test]
async fn a_crash_at_an_effect_that_does_not_come_is_refused() {
    let mut t = counting().await;
    assert_eq!(t.crash_before_commit().await.unwrap_err().code(), "no-effect");
    t.consign().publish(&Ordered { of: 1 }).await.unwrap();
    t.run_until_idle().await.expect("nobody crashes later");
    assert_eq!(number(&t, "select n from sums").await, 1);
}

#[tokio::test]
async fn what_prepares_the_tables_fails_with_its_own_words() {
    let broken =
        async |db: &sqlx::SqlitePool| sqlx::raw_sql("create tabel").execute(db).await.map(drop);
    let error = Harness::new(broken, |workers, _| workers.subscribe(queue("away", is_away))).await;
    let said = error.unwrap_err().to_string();
    assert!(said.contains("tabel"), "{said}");
}
