//! Readers that stay, and backups, while requests write and workers count: no request fails.

use crate::database::{Database, Liked, likes, options};
use consign::stream;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const OPEN_FOR: Duration = Duration::from_mins(1);
const CLIENTS: i64 = 4;
const BACKUPS: u64 = 3;
const COUNTED: &str = "select coalesce(sum(likes), 0) from like_counts";

/// Requests of one client until it is told to stop: how many there were.
fn requests(
    d: &Arc<Database>,
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<consign::Result<i64>>> {
    let clients = (0..CLIENTS).map(|client| {
        let (d, stop) = (Arc::clone(d), Arc::clone(stop));
        tokio::spawn(async move {
            let mut made = 0;
            while !stop.load(Ordering::SeqCst) {
                d.like(client).await?;
                made += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(made)
        })
    });
    clients.collect()
}

/// As a reader sees it that began before all of it.
async fn reader(d: &Database) -> SqliteConnection {
    let mut reader = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    sqlx::raw_sql("begin; select count(*) from likes").execute(&mut reader).await.unwrap();
    reader
}

/// A copy of the whole database as of one moment: as many messages as rows.
async fn backup(d: &Database, number: u64) {
    let mut connection = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    let copy = d.folder.path().join(format!("copy-{number}.db"));
    let vacuum = format!("vacuum into '{}'", copy.display());
    sqlx::raw_sql(AssertSqlSafe(vacuum)).execute(&mut connection).await.unwrap();
    let attach = format!("attach '{}' as copy", copy.display());
    sqlx::raw_sql(AssertSqlSafe(attach)).execute(&mut connection).await.unwrap();
    let select = "select (select count(*) from copy.likes) - (select count(*) from copy.consign_log
        where position >> 44 < 8 and kind = 'liked' and key <> cast('-1' as blob))";
    let different: i64 = sqlx::query_scalar(select).fetch_one(&mut connection).await.unwrap();
    assert_eq!(different, 0, "a backup is of one moment");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_open_for_a_minute_and_backups_under_load_fail_no_request() {
    let d = Arc::new(Database::new().await);
    // A backlog that the workers drain behind the reader, too.
    let backlog = 20_000;
    for _ in 0..backlog / 5_000 {
        d.consign.publish_all(&vec![Liked { article_id: -1 }; 5_000]).await.unwrap();
    }
    let mut reader = reader(&d).await;
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (clients, since) = (requests(&d, &stop), Instant::now());
    for number in 0..BACKUPS {
        tokio::time::sleep(OPEN_FOR / 4).await;
        backup(&d, number).await;
    }
    tokio::time::sleep(OPEN_FOR.saturating_sub(since.elapsed())).await;
    stop.store(true, Ordering::SeqCst);
    let mut made = 0;
    for client in clients {
        made += client.await.unwrap().expect("no request fails");
    }
    assert!(made > 1_000, "{made} requests in {OPEN_FOR:?} are no load");
    d.becomes(COUNTED, backlog + made).await;
    // It has kept its moment all the while.
    let seen = sqlx::query_scalar::<_, i64>("select count(*) from likes").fetch_one(&mut reader);
    assert_eq!(seen.await.unwrap(), 0);
    reader.close().await.unwrap();
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_reader_goes_what_it_kept_in_the_wal_is_copied() {
    let d = Database::new().await;
    let reader = reader(&d).await;
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        d.consign.publish_all(&vec![Liked { article_id: -1 }; 2_000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (kept, copied) = wal(&d).await;
    assert!(copied < kept / 2, "the reader keeps nothing: {copied} of {kept}");
    reader.close().await.unwrap();
    the_wal_is_copied(&d, kept).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_pins_the_wal_is_named_until_it_goes() {
    let d = Database::new().await;
    let reader = reader(&d).await;
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    is_named(&d, true).await;
    reader.close().await.unwrap();
    is_named(&d, false).await;
    running.shutdown().await.unwrap();
}

/// Polls while a little is written; workers say it with their heartbeats.
async fn is_named(d: &Database, is_pinned: bool) {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        d.consign.publish_all(&vec![Liked { article_id: -1 }; 500]).await.unwrap();
        let status = d.consign.subscriptions().await.unwrap().remove(0);
        let cause = status.cause.clone().unwrap_or_default();
        if cause.contains("a reader that stays open pins the WAL for ") == is_pinned {
            return;
        }
        assert!(Instant::now() < until, "{status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Its pages, and those of them that are copied.
async fn wal(d: &Database) -> (i64, i64) {
    let look = sqlx::query_as("pragma wal_checkpoint(noop)").fetch_one(&d.pool).await;
    let (_, pages, copied): (i64, i64, i64) = look.unwrap();
    (pages, copied)
}

/// Polls while a little is written: checkpoints are made by workers at work. When everything was
/// copied, the WAL starts again at its front.
async fn the_wal_is_copied(d: &Database, kept: i64) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        d.consign.publish_all(&vec![Liked { article_id: -1 }; 2_000]).await.unwrap();
        let (pages, copied) = wal(d).await;
        if pages < kept || copied > kept / 2 {
            return;
        }
        assert!(Instant::now() < until, "{copied} of {pages} pages are copied");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
