//! The disk is full: the error says so, nothing is half-written, and with room it goes on.

use crate::child::{Child, Role};
use crate::database::{Database, Liked, TABLES, options};
use consign::sqlite::Consign;
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqlitePool;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SIZE: &str = "size=6m";
const COUNTED: &str = "select coalesce(sum(likes), 0) from like_counts";
const STORED: &str = "select count(*) from likes";
const PUBLISHED: &str = "select count(*) from consign_log";

/// A small file system of its own; unmounted when it goes out of scope.
pub(crate) struct Disk {
    folder: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&path);
        let mounted = mount.status().is_ok_and(|status| status.success());
        assert!(
            mounted,
            "this test mounts a small tmpfs: run it as root, where mounting is allowed"
        );
        Self { folder: Some(folder), path }
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Takes all the room but so much.
    pub(crate) fn fill(&self, left: u64) {
        let free = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.path).output();
        let free = String::from_utf8(free.unwrap().stdout).unwrap();
        let free: u64 = free.lines().last().unwrap().trim().parse().unwrap();
        let bytes = usize::try_from(free.saturating_sub(left)).unwrap();
        match std::fs::write(self.ballast(), vec![1; bytes]) {
            // Others wrote meanwhile: there is less room than was looked up, and it is taken.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {}
            written => written.unwrap(),
        }
    }

    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let lazily = Command::new("umount").arg("-l").arg(&self.path).status();
        let unmounted = lazily.is_ok_and(|status| status.success());
        drop(self.folder.take());
        assert!(unmounted || std::thread::panicking(), "{} stays mounted", self.path.display());
    }
}

impl Disk {
    /// A database on it. It is dropped before the disk, so it stands behind it.
    pub(crate) async fn database(&self) -> Database {
        let folder = tempfile::tempdir_in(&self.path).unwrap();
        let pool = SqlitePool::connect_with(options(folder.path())).await.unwrap();
        sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
        sqlx::raw_sql("create table large (content blob not null) strict")
            .execute(&pool)
            .await
            .unwrap();
        let consign = Consign::open(&pool).await.unwrap();
        Database { pool, consign, folder }
    }
}

/// Why a request failed.
#[derive(Debug)]
struct Failed {
    is_full: bool,
    said: String,
}

impl From<consign::Error> for Failed {
    fn from(error: consign::Error) -> Self {
        Self { is_full: error.is_full(), said: format!("{error:?}") }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        Self { is_full: code.is_some_and(|code| code == "13"), said: format!("{error:?}") }
    }
}

/// A request that leaves every error to its caller.
async fn like(consign: &Consign, bytes: i64) -> Result<(), Failed> {
    let mut tx = consign.begin().await?;
    sqlx::query("insert into likes (article_id) values (1)").execute(&mut *tx).await?;
    if bytes > 0 {
        let insert = sqlx::query("insert into large values (zeroblob(?1))").bind(bytes);
        insert.execute(&mut *tx).await?;
    }
    tx.publish(&Liked { article_id: 1 }).await?;
    tx.commit().await?;
    Ok(())
}

/// So many requests at once, each fourth one of so many bytes; answers how many were accepted, and fails where one was refused for
/// another reason than the disk.
async fn likes_at_once(d: &Database, clients: i64, bytes: i64) -> i64 {
    let requests = (0..clients).map(|client| {
        let consign = d.consign.clone();
        let bytes = if client % 4 == 3 { bytes } else { 0 };
        tokio::spawn(async move { like(&consign, bytes).await })
    });
    let mut accepted = 0;
    for request in requests.collect::<Vec<_>>() {
        match request.await.unwrap() {
            Ok(()) => accepted += 1,
            Err(failed) => assert!(failed.is_full, "it was not told why: {}", failed.said),
        }
    }
    accepted
}

async fn assert_whole(d: &Database, accepted: i64) {
    assert_eq!(d.number(STORED).await, accepted);
    assert_eq!(d.number(PUBLISHED).await, accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_a_request_is_told_so_and_nothing_is_half_written() {
    let disk = Disk::new();
    let d = disk.database().await;
    let mut accepted = likes_at_once(&d, 1, 0).await;
    for round in 0..3 {
        disk.fill(200 << 10);
        let mut refused = 0;
        while refused < 20 {
            match like(&d.consign, 0).await {
                Ok(()) => accepted += 1,
                Err(failed) => {
                    assert!(failed.is_full, "it was not told why: {}", failed.said);
                    refused += 1;
                }
            }
        }
        assert_whole(&d, accepted).await;
        // Larger than SQLite's cache: it fails in the statement, and not at the commit.
        assert!(like(&d.consign, 4 << 20).await.is_err_and(|failed| failed.is_full));
        assert_whole(&d, accepted).await;
        disk.make_room();
        like(&d.consign, 0).await.unwrap();
        accepted += 1;
        assert_whole(&d, accepted).await;
        println!("round {round}: {accepted} accepted");
    }
}

/// Requests that share a commit share its failure, and each is told the same.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_requests_at_once_are_all_told_so() {
    let disk = Disk::new();
    let d = disk.database().await;
    let mut accepted = likes_at_once(&d, 16, 0).await;
    assert_eq!(accepted, 16);
    disk.fill(200 << 10);
    for _ in 0..20 {
        accepted += likes_at_once(&d, 16, 0).await;
    }
    assert_whole(&d, accepted).await;
    disk.make_room();
    assert_eq!(likes_at_once(&d, 16, 0).await, 16);
    assert_whole(&d, accepted + 16).await;
}

/// SQLite takes the whole transaction back, with the statements of requests that wait for its
/// commit.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_share_a_commit_with_one_that_fills_the_disk_are_told_so() {
    let disk = Disk::new();
    let d = disk.database().await;
    disk.fill(200 << 10);
    let mut accepted = 0;
    for _ in 0..20 {
        accepted += likes_at_once(&d, 16, 3 << 20).await;
    }
    assert_whole(&d, accepted).await;
    disk.make_room();
    assert_eq!(likes_at_once(&d, 16, 0).await, 16);
    assert_whole(&d, accepted + 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_goes_on_by_itself_when_there_is_room_again() {
    let disk = Disk::new();
    let d = disk.database().await;
    let mut worker = Child::start(Role::CountsLikes, d.folder.path());
    like(&d.consign, 0).await.unwrap();
    d.becomes(COUNTED, 1).await;
    worker.signal("STOP");
    let all = vec![Liked { article_id: 1 }; 5_000];
    d.consign.publish_all(&all).await.unwrap();
    disk.fill(0);
    worker.signal("CONT");
    let until = Instant::now() + Duration::from_secs(20);
    while !worker.printed().contains("the disk is full") {
        assert!(Instant::now() < until, "{}", worker.printed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(d.number(COUNTED).await, d.number("select sum(passed) from consign_cursor").await);
    assert!(d.number(COUNTED).await < 5_001, "there was room all the same");
    disk.make_room();
    d.becomes(COUNTED, 5_001).await;
    worker.assert_runs();
}
