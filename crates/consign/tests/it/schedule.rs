//! What is published to be due later: it comes into the log then, once.

use crate::database::{Database, Liked};
use consign::{HandlerResult, Message, Running, State, queue};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

const LOG: &str = "select count(*) from consign_log";
const SCHEDULED: &str = "select count(*) from consign_scheduled";
const HOUR: Duration = Duration::from_hours(1);

/// When each message was handled.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(i64, SystemTime)>>>);

impl Seen {
    fn all(&self) -> Vec<(i64, SystemTime)> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "reminded", topic = "reminders", key = of)]
struct Reminded {
    of: i64,
    n: i64,
}

async fn see(m: Reminded, State(seen): State<Seen>) -> HandlerResult {
    seen.0.lock().unwrap().push((m.n, SystemTime::now()));
    Ok(())
}

async fn start(d: &Database, seen: &Seen) -> Running {
    let workers = d.again().await.workers().with_state(seen.clone());
    workers.subscribe(queue("see", see).from_start()).start().await.unwrap()
}

async fn becomes(seen: &Seen, handled: usize) {
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while seen.all().len() < handled {
        assert!(std::time::Instant::now() < until, "{} of {handled}", seen.all().len());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_handled_when_it_is_due_and_not_before() {
    let (d, seen) = (Database::new().await, Seen::default());
    let running = start(&d, &seen).await;
    let due = SystemTime::now() + Duration::from_millis(400);
    let late = due + Duration::from_millis(300);
    d.consign.publish(&Reminded { of: 1, n: 2 }).at(late).await.unwrap();
    let receipt = d.consign.publish(&Reminded { of: 1, n: 1 }).at(due).await.unwrap();
    assert_eq!(receipt.messages(), [], "it has no place in the log yet");
    assert_eq!((d.number(LOG).await, d.number(SCHEDULED).await), (0, 2));
    becomes(&seen, 2).await;
    running.shutdown().await.unwrap();
    let all = seen.all();
    assert_eq!((all[0].0, all[1].0), (1, 2), "{all:?}");
    assert!(all[0].1 >= due && all[1].1 >= late, "{due:?} {all:?}");
    assert_eq!((d.number(LOG).await, d.number(SCHEDULED).await), (2, 0));
}

#[tokio::test]
async fn what_is_scheduled_is_there_if_and_only_if_its_transaction_committed() {
    let d = Database::new().await;
    let mut tx = d.consign.begin().await.unwrap();
    tx.publish(&Liked { article_id: 1 }).after(HOUR).await.unwrap();
    drop(tx);
    let mut tx = d.consign.begin().await.unwrap();
    tx.publish(&Liked { article_id: 2 }).await.unwrap();
    let id = tx.publish(&Liked { article_id: 3 }).after(HOUR).await.unwrap();
    tx.publish(&Liked { article_id: 4 }).at(SystemTime::UNIX_EPOCH).await.unwrap();
    let receipt = tx.commit().await.unwrap();
    assert_eq!(receipt.messages().len(), 2, "what is due at once has its place");
    let mut foreign = d.pool.begin().await.unwrap();
    d.consign.publish_in(&mut foreign, &Liked { article_id: 5 }).after(HOUR).await.unwrap();
    foreign.rollback().await.unwrap();
    assert_eq!((d.number(LOG).await, d.number(SCHEDULED).await), (2, 1));
    let found = sqlx::query_scalar::<_, Vec<u8>>("select id from consign_scheduled");
    assert_eq!(found.fetch_one(&d.pool).await.unwrap(), id.0.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_until_workers_run_and_comes_as_it_was_published() {
    let (d, seen) = (Database::new().await, Seen::default());
    let now = SystemTime::now();
    let wait = |n: i64| Duration::from_millis(20 - n.cast_unsigned());
    let mut ids = Vec::new();
    for n in 0..10 {
        let mut tx = d.consign.begin().await.unwrap();
        let publish = tx.publish(&Reminded { of: 7, n }).header("nth", &n.to_string());
        ids.push(publish.at(now + wait(n / 2)).await.unwrap().to_string());
        tx.commit().await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(d.number(SCHEDULED).await, 10, "nobody is there");
    let running = start(&d, &seen).await;
    becomes(&seen, 10).await;
    running.shutdown().await.unwrap();
    let order = seen.all().into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(order, [8, 9, 6, 7, 4, 5, 2, 3, 0, 1], "by when they were due, then as published");
    let rows = "select lower(hex(id)), json_extract(headers, '$.nth'), cast(key as text)
                from consign_log";
    let rows = sqlx::query_as::<_, (String, String, String)>(rows).fetch_all(&d.pool).await;
    for (id, nth, key) in rows.unwrap() {
        assert_eq!(id, ids[nth.parse::<usize>().unwrap()].replace('-', ""));
        assert_eq!(key, "7");
    }
    let old = "select count(*) from consign_log where published_at <
               (select max(published_at) from consign_log) - 10000000";
    assert_eq!(d.number(old).await, 0, "its age counts from when it came into the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_bring_each_message_once_and_hardly_late() {
    let (d, seen) = (Database::new().await, Seen::default());
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(start(&d, &seen).await);
    }
    let first = SystemTime::now() + Duration::from_millis(500);
    let due = |n: i64| first + Duration::from_micros(500) * u32::try_from(n).unwrap();
    // So many publishes in a row, on a machine that is busy, once filled the queue of sqlx's thread.
    let mut tx = d.consign.begin().await.unwrap();
    for n in 0..2_000 {
        tx.publish(&Reminded { of: n % 50, n }).at(due(n)).await.unwrap();
    }
    tx.commit().await.unwrap();
    becomes(&seen, 2_000).await;
    for running in running {
        running.shutdown().await.unwrap();
    }
    assert_eq!(d.number("select count(distinct id) from consign_log").await, 2_000);
    assert_eq!(d.number(LOG).await, 2_000);
    let all = seen.all();
    assert_eq!(all.len(), 2_000);
    let mut late = all.iter().map(|(n, at)| at.duration_since(due(*n)).expect("not before"));
    let latest = late.by_ref().max().unwrap();
    assert!(latest < Duration::from_secs(5), "{latest:?} late");
}

#[tokio::test]
async fn a_time_that_no_calendar_has_is_refused_and_harms_nobody_else() {
    let d = Database::new().await;
    let liked = Liked { article_id: 1 };
    let (good, bad) = tokio::join!(d.consign.publish(&liked), async {
        d.consign.publish(&liked).after(Duration::MAX).await
    });
    good.unwrap();
    assert_eq!(bad.unwrap_err().code(), "bad-time");
    assert_eq!(d.number(LOG).await, 1);
}
