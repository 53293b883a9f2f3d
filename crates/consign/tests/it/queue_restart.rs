//! Nothing is wrong with any message: processes end in order and are started again, or the database
//! is away for a while. No attempt is counted, and nothing is lost, doubled or out of order.
//!
//! How long that lasts, in seconds, is said by `CONSIGN_TEST_AWAY` (nobody can write, the disk is
//! full) and `CONSIGN_TEST_RESTART_EVERY`, and how many restarts there are by
//! `CONSIGN_TEST_RESTARTS`; without them it is short. The long form is 60, 10 and 18.

use crate::child::Child;
use crate::database::{Database, options};
use crate::disk_full::Disk;
use crate::queue_judge::{Load, Published, notes, repeated};
use crate::queue_work::{
    ATTEMPTS, CONCURRENCY, NOTES, Queues, SUSPECTS, Worker, database, drained, left, prepare,
};
use consign_test::Random;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use std::time::{Duration, Instant};

const PROCESSES: usize = 4;
const KEYS: i64 = 24;
const EVERY: Duration = Duration::from_millis(30);
const RESTARTS: u64 = 20;
/// A restart each time so many seconds have passed.
const RESTART_EVERY: u64 = 1;
/// Nobody writes for so many seconds: longer than anybody waits for the write lock.
const AWAY: u64 = 8;
/// The disk stays full for so many seconds.
const FULL: u64 = 3;
const SOON: Duration = Duration::from_secs(45);
const LAPSED: &str = "update consign_worker set alive_until = 1; commit";
const DEAD: &str = "select count(*) from consign_dead_letter";

/// What the environment says, or the short form.
fn given(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |given| given.parse().expect("a whole number"))
}

fn away(otherwise: u64) -> Duration {
    Duration::from_secs(given("CONSIGN_TEST_AWAY", otherwise))
}

fn fleet(d: &Database) -> Vec<Child> {
    (0..PROCESSES).map(|_| Worker::on(Queues::Both).start(d)).collect()
}

/// No attempt is counted, and the ledger is what has happened.
async fn assert_unharmed(d: &Database, published: &Published) {
    published.judge(d, &["witness", "note"], &[]).await;
    assert_eq!(d.number(ATTEMPTS).await, 0, "attempts were counted");
    assert_eq!(d.number(SUSPECTS).await, 0, "messages were suspected");
    assert_eq!(d.number(DEAD).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_repeats_nothing_and_counts_no_attempt() {
    let mut random = Random::new("a rolling restart");
    let d = database(KEYS).await;
    let mut fleet = fleet(&d);
    d.becomes("select count(distinct owner) from consign_cursor", 4).await;
    let load = Load::start(d.consign.clone(), KEYS, EVERY);
    let restarts = given("CONSIGN_TEST_RESTARTS", RESTARTS);
    let every = Duration::from_secs(given("CONSIGN_TEST_RESTART_EVERY", RESTART_EVERY));
    let mut restarted = Instant::now();
    for round in 0..usize::try_from(restarts).unwrap() {
        let jitter = Duration::from_millis(u64::try_from(random.below(200)).unwrap());
        tokio::time::sleep((every + jitter).saturating_sub(restarted.elapsed())).await;
        restarted = Instant::now();
        let next = &mut fleet[round % PROCESSES];
        next.signal("TERM");
        assert!(next.ended().success(), "it printed:\n{}", next.printed());
        *next = Worker::on(Queues::Both).start(&d);
    }
    let published = load.end().await;
    drained(&d, SOON).await;
    fleet.iter_mut().for_each(Child::assert_runs);
    drop(fleet);
    println!("{} published, {restarts} restarts", published.tasks);
    assert_unharmed(&d, &published).await;
    assert_eq!(repeated(&d).len(), 0, "notes were written twice: {:?}", repeated(&d));
    assert_eq!(d.number("select count(*) from set_aside").await, 0, "none was set aside");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_nobody_can_write_for_a_while_burns_no_attempt() {
    let d = database(KEYS).await;
    let load = Load::start(d.consign.clone(), KEYS, Duration::from_millis(1));
    d.becomes("select count(*) > 15000 from consign_log", 1).await;
    let mut fleet = fleet(&d);
    d.becomes("select count(*) > 1000 from witnesses", 1).await;
    let mut other = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut other).await.unwrap();
    let (before, backlog) = (notes(&d).len(), left(&d).await);
    tokio::time::sleep(away(AWAY)).await;
    let meanwhile = notes(&d).len() - before;
    // As after half a minute: nobody could renew a lease, and nobody has taken over.
    sqlx::raw_sql(LAPSED).execute(&mut other).await.unwrap();
    let since = Instant::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let published = load.end().await;
    drained(&d, SOON).await;
    fleet.iter_mut().for_each(Child::assert_runs);
    let printed = fleet.iter().map(Child::printed).collect::<String>();
    drop(fleet);
    println!(
        "{} published, {backlog} to do, {meanwhile} handled without a ledger; drained after {:?}",
        published.tasks,
        since.elapsed()
    );
    assert!(backlog > 0 && printed.contains("a step failed"), "nobody noticed: no proof");
    assert_unharmed(&d, &published).await;
    assert_eq!(repeated(&d).len(), 0, "notes were written twice: {:?}", repeated(&d));
    // What is handled now would be repeated by a crash.
    assert!(meanwhile <= PROCESSES * (100 + CONCURRENCY), "{meanwhile} were handled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_burns_no_attempt() {
    let disk = Disk::new();
    let d = disk.database().await;
    prepare(&d.pool, &d.consign, KEYS).await;
    // What is full must not be what the notes are kept on.
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), d.folder.path().join(NOTES)).unwrap();
    let mut fleet = (0..2).map(|_| Worker::on(Queues::Both).start(&d)).collect::<Vec<_>>();
    d.becomes("select count(distinct owner) from consign_cursor", 2).await;
    let load = Load::start(d.consign.clone(), KEYS, EVERY);
    d.becomes("select count(*) > 500 from witnesses", 1).await;
    disk.fill(0);
    let until = Instant::now() + SOON;
    while !fleet.iter().all(|worker| worker.printed().contains("full")) {
        assert!(Instant::now() < until, "it printed:\n{}", fleet[0].printed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(away(FULL)).await;
    disk.make_room();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let published = load.end().await;
    drained(&d, SOON).await;
    fleet.iter_mut().for_each(Child::assert_runs);
    drop(fleet);
    assert_unharmed(&d, &published).await;
}
