//! Processes share a queue evenly; and two of them believe to own the same of it: one is stopped,
//! replaced, and goes on.

use crate::child::Child;
use crate::database::{Database, options};
use crate::queue_judge::Load;
use crate::queue_work::{Queues, Worker, database, drained};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use std::fs::File;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);
const KEYS: i64 = 64;
const EVERY: Duration = Duration::from_millis(30);
const TASKS: &str = "select count(*) from consign_log";
const WITNESSES: &str = "select count(*) from witnesses";
const OWNERS: &str = "select count(distinct owner) from consign_cursor";
/// Of the processes that share, the one that has handled the least.
const LEAST: &str =
    "select coalesce(min(n), 0) from (select count(*) n from witnesses group by worker)";
const SHUT: i64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_share_a_queue_evenly_and_handle_each_message_once() {
    let d = database(KEYS).await;
    let _fleet = (0..4).map(|_| Worker::on(Queues::Witness).start(&d)).collect::<Vec<_>>();
    d.becomes(OWNERS, 4).await;
    drained(&d, SOON).await;
    sqlx::raw_sql("delete from witnesses").execute(&d.pool).await.unwrap();
    let before = d.number(TASKS).await;
    let load = Load::start(d.consign.clone(), KEYS, EVERY);
    d.becomes("select count(*) > 5000 from witnesses", 1).await;
    let published = load.end().await;
    drained(&d, SOON).await;
    let (handled, least) = (d.number(WITNESSES).await, d.number(LEAST).await);
    println!("{handled} handled, and {least} by the one that has handled the least");
    assert_eq!(handled, published.tasks - before, "each once");
    assert_eq!(d.number("select count(distinct number) from witnesses").await, handled);
    assert_eq!(d.number("select count(distinct worker) from witnesses").await, 4);
    assert!(least * 8 >= handled, "one of four handled {least} of {handled}");
}

/// Polls until `look` answers.
async fn within<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + SOON;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < until, "within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Stops the worker with a message in its hands, while it waits to begin its transaction: somebody
/// else holds the write lock, and `change`s something under it.
async fn stop_at_work(d: &Database, worker: &Child, change: &'static str) {
    let turn = File::open(d.folder.path().join("app.db-turn")).unwrap();
    let mut other = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    within("it is stopped at work", async || {
        sqlx::raw_sql("begin immediate").execute(&mut other).await.unwrap();
        let waits = is_held(&turn).await;
        if waits {
            worker.signal("STOP");
            sqlx::raw_sql(change).execute(&mut other).await.unwrap();
        }
        sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
        waits.then_some(())
    })
    .await;
}

/// Whether the turn is held, and not just in passing.
async fn is_held(turn: &File) -> bool {
    for _ in 0..10 {
        if turn.try_lock_shared().is_ok() {
            turn.unlock().unwrap();
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

/// The lease of whoever is stopped has run out.
async fn take_over(d: &Database) -> Child {
    sqlx::raw_sql("update consign_worker set alive_until = 1").execute(&d.pool).await.unwrap();
    Worker { attempts: 1_000, ..Worker::on(Queues::Witness) }.start(d)
}

/// When the stopped one goes on.
#[derive(Clone, Copy, Debug)]
enum GoesOn {
    /// Its partitions have a new owner.
    WhenTaken,
    /// All is done, the cursors have passed it, and no mark is left.
    WhenCompacted,
}

async fn when(d: &Database, goes_on: GoesOn, first: u32) {
    match goes_on {
        GoesOn::WhenTaken => {
            within("they are taken over", async || {
                let select = "select count(*) from witnesses where worker <> ?1";
                let by_others = sqlx::query_scalar::<_, i64>(select).bind(first);
                (by_others.fetch_one(&d.pool).await.unwrap() > 0).then_some(())
            })
            .await;
        }
        GoesOn::WhenCompacted => {
            drained(d, SOON).await;
            d.becomes("select count(*) from consign_done", 0).await;
        }
    }
}

/// Two owners at once; with a parked key, or without. Answers whether the late one was refused.
async fn two_owners(goes_on: GoesOn, is_parked: bool) -> bool {
    let d = database(KEYS).await;
    let mut first = take_over(&d).await;
    drained(&d, SOON).await;
    if is_parked {
        let shut = "insert into shut_keys values (5)";
        sqlx::raw_sql(shut).execute(&d.pool).await.unwrap();
    }
    let load = Load::start(d.consign.clone(), KEYS, Duration::from_millis(5));
    if is_parked {
        // What it does from now on is to try the parked key's first message, again and again.
        within("the key waits", async || {
            (d.number("select count(*) from consign_retry").await >= 20).then_some(())
        })
        .await;
    }
    let published = if is_parked {
        let published = load.end().await;
        let reached = "select count(*) from witnesses where key <> 5";
        d.becomes(reached, published.tasks - published.tasks / KEYS).await;
        stop_at_work(&d, &first, "delete from shut_keys").await;
        published
    } else {
        stop_at_work(&d, &first, "").await;
        load.end().await
    };
    let mut second = take_over(&d).await;
    when(&d, goes_on, first.id()).await;
    first.signal("CONT");
    drained(&d, SOON).await;
    within("the first one has seen it", async || {
        let printed = first.printed();
        (printed.contains("fenced") || printed.contains("had run out")).then_some(())
    })
    .await;
    d.becomes(OWNERS, 2).await;
    first.assert_runs();
    second.assert_runs();
    published.judge(&d, &["witness"], &[]).await;
    assert_eq!(d.number(WITNESSES).await, published.tasks);
    let of_key = "select count(*) from witnesses where key = 5";
    assert_eq!(d.number(of_key).await, published.tasks / KEYS, "key {SHUT}");
    first.printed().contains("fenced")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_replaced_has_no_effect_when_it_goes_on() {
    let refused = two_owners(GoesOn::WhenTaken, false).await;
    assert!(refused, "it had nothing in hand: no proof");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_goes_on_when_cursors_have_passed_has_no_effect() {
    let refused = two_owners(GoesOn::WhenCompacted, false).await;
    assert!(refused, "it had nothing in hand: no proof");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_key_that_two_owners_drain_has_each_effect_once() {
    let refused = two_owners(GoesOn::WhenTaken, true).await;
    assert!(refused, "it had nothing in hand: no proof");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_key_that_was_drained_by_a_new_owner_is_not_drained_again() {
    let refused = two_owners(GoesOn::WhenCompacted, true).await;
    assert!(refused, "it had nothing in hand: no proof");
}
