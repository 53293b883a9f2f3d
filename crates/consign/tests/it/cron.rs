//! What is due again and again: one tick each time, with any number of processes.

use crate::database::Database;
use consign::{Cron, Message, Missed, Running, cron};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TICKS: &str = "select count(*) from consign_log";
const DUE: &str = "select payload ->> '$.due' from consign_log order by 1";
const EVERY_SECOND: &str = "* * * * * *";

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(kind = "ticked")]
struct Ticked {
    due: u64,
}

/// Says in its message when it was due.
fn ticks(pattern: &str, zone: &str) -> Cron {
    cron("ticks", pattern, zone, |due: SystemTime| Ticked {
        due: due.duration_since(UNIX_EPOCH).unwrap().as_secs(),
    })
}

async fn start(d: &Database, cron: Cron) -> Running {
    d.again().await.workers().schedule(cron).start().await.unwrap()
}

async fn due(d: &Database) -> Vec<i64> {
    sqlx::query_scalar(DUE).fetch_all(&d.pool).await.unwrap()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_has_one_tick_however_many_processes_there_are() {
    let d = Database::new().await;
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(start(&d, ticks(EVERY_SECOND, "Asia/Kathmandu").missed(Missed::All)).await);
    }
    d.becomes(TICKS, 2).await;
    for running in running.drain(..) {
        running.shutdown().await.unwrap();
    }
    let running = start(&d, ticks(EVERY_SECOND, "Asia/Kathmandu").missed(Missed::All)).await;
    d.becomes("select count(*) >= 4 from consign_log", 1).await;
    running.shutdown().await.unwrap();
    let due = due(&d).await;
    let wanted = (due[0]..).take(due.len()).collect::<Vec<_>>();
    assert_eq!(due, wanted, "each second once");
    let ahead = d.number(
        "select count(*) from consign_log
                          where published_at < 1000000 * (payload ->> '$.due')",
    );
    assert_eq!(ahead.await, 0, "none is published before it is due");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cron_begins_when_it_is_first_started() {
    let d = Database::new().await;
    let begun = now();
    let running = start(&d, ticks(EVERY_SECOND, "UTC").missed(Missed::All)).await;
    d.becomes("select count(*) >= 1 from consign_log", 1).await;
    running.shutdown().await.unwrap();
    assert!(due(&d).await[0] > begun, "{begun} {:?}", due(&d).await);
}

/// An hourly cron whose last tick was due so long ago.
async fn after_an_outage(missed: Missed, hours: i64) -> Vec<i64> {
    let d = Database::new().await;
    let running = start(&d, ticks("0 * * * *", "UTC")).await;
    running.shutdown().await.unwrap();
    let last = (now() - hours * 3600) * 1_000_000;
    let set = sqlx::query("update consign_cron set last_due = ?1").bind(last);
    set.execute(&d.pool).await.unwrap();
    let settled = "select count(*) from consign_cron
                   where last_due > 1000000 * (unixepoch() / 3600 - 1) * 3600";
    let running = start(&d, ticks("0 * * * *", "UTC").missed(missed)).await;
    d.becomes(settled, 1).await;
    running.shutdown().await.unwrap();
    due(&d).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_that_were_missed_come_once_or_all_or_not_at_all() {
    let hour = now() / 3600 * 3600;
    // In the first minute of an hour its tick is on time, and in the last seconds it becomes so.
    let is_on_time = now() - hour < 60 || now() - hour > 3_580;
    if is_on_time {
        tokio::time::sleep(Duration::from_secs(81)).await;
    }
    let hour = now() / 3600 * 3600;
    assert_eq!(after_an_outage(Missed::Once, 5).await, [hour]);
    let all = after_an_outage(Missed::All, 5).await;
    assert_eq!(all, (0..5).rev().map(|n| hour - n * 3600).collect::<Vec<_>>());
    assert_eq!(after_an_outage(Missed::Skip, 5).await, Vec::<i64>::new());
    assert_eq!(after_an_outage(Missed::All, 3_000).await.len(), 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_whose_pattern_has_changed_begins_anew() {
    let d = Database::new().await;
    start(&d, ticks("0 0 1 1 *", "UTC")).await.shutdown().await.unwrap();
    sqlx::raw_sql("update consign_cron set last_due = 0").execute(&d.pool).await.unwrap();
    let begun = now();
    let running = start(&d, ticks(EVERY_SECOND, "UTC").missed(Missed::All)).await;
    d.becomes("select count(*) >= 1 from consign_log", 1).await;
    running.shutdown().await.unwrap();
    assert!(due(&d).await[0] > begun, "nothing was missed: it did not stand");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_that_cannot_be_made_is_tried_again() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static MADE: AtomicU32 = AtomicU32::new(0);
    let d = Database::new().await;
    let panics = cron("ticks", EVERY_SECOND, "UTC", || {
        assert!(MADE.fetch_add(1, Ordering::Relaxed) > 1, "not yet");
        Ticked { due: 0 }
    });
    let running = start(&d, panics).await;
    d.becomes("select count(*) >= 1 from consign_log", 1).await;
    running.shutdown().await.unwrap();
    assert!(MADE.load(Ordering::Relaxed) > 2);
}

#[tokio::test]
async fn what_is_never_due_or_has_no_name_is_refused_at_start() {
    let d = Database::new().await;
    let code = async |cron: Cron| {
        d.consign.workers().schedule(cron).start().await.err().map(|refused| refused.code())
    };
    let tick = |name, pattern, zone| cron(name, pattern, zone, || Ticked { due: 0 });
    assert_eq!(code(tick("Ticks", EVERY_SECOND, "UTC")).await, Some("bad-name"));
    assert_eq!(code(tick("ticks", "seven o'clock", "UTC")).await, Some("bad-cron"));
    assert_eq!(code(tick("ticks", "0 0 31 2 *", "UTC")).await, Some("bad-cron"));
    assert_eq!(code(tick("ticks", "0 7 * * *", "Berlin")).await, Some("bad-time-zone"));
    let workers = d.consign.workers().schedule(tick("ticks", "0 7 * * *", "UTC"));
    let twice = workers.schedule(tick("ticks", "0 8 * * *", "UTC")).start().await;
    assert_eq!(twice.err().map(|refused| refused.code()), Some("scheduled-twice"));
}
