//! A process with nothing to do leaves the disk alone.

use crate::child::{Child, Role, open};
use crate::database::{Database, likes, options};
use consign::stream;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use std::path::Path;
use std::time::{Duration, Instant};

/// The role [`Role::Idles`].
pub(crate) async fn work(folder: &Path) {
    let workers = open(folder).await.workers();
    let workers = workers.subscribe(stream("likes", likes())).subscribe(stream("again", likes()));
    let _running = workers.start().await.unwrap();
    std::future::pending::<()>().await;
}

const WATCHED: Duration = Duration::from_secs(13);
/// Once in 5 s.
const WRITES_MAX: u32 = 13 / 5;
const SHARES: &str = "select count(*) from consign_cursor where owner is not null";

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_writes_at_most_once_in_five_seconds() {
    let d = Database::new().await;
    let mut child = Child::start(Role::Idles, d.folder.path());
    d.like(1).await.unwrap();
    d.becomes("select coalesce(sum(passed), 0) from consign_cursor", 2).await;
    d.becomes(SHARES, 16).await;
    // On a connection that stays open, its own writes not counted; it makes none.
    let mut watch = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    let mut before = version(&mut watch).await;
    let (mut writes, since) = (0, Instant::now());
    while since.elapsed() < WATCHED {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = version(&mut watch).await;
        writes += u32::from(now != before);
        before = now;
    }
    child.assert_runs();
    assert!(writes <= WRITES_MAX, "{writes} writes in {WATCHED:?}");
    // Its lease was renewed: it was seen to live.
    assert!(writes > 0, "no write in {WATCHED:?}");
}

async fn version(watch: &mut SqliteConnection) -> i64 {
    sqlx::query_scalar("pragma data_version").fetch_one(watch).await.unwrap()
}
