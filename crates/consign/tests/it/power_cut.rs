//! The power goes at any moment: what was synced is there afterwards, and nothing else need be.
//!
//! Not played by killing a process, which loses nothing that it wrote. The processes run under
//! `journal.c`; then the disk is rebuilt as it was at random moments of their journal.

use crate::child::{Child, Role, open};
use crate::database::{Database, Liked, likes, options};
use crate::journal::{self, Disk, Journal, Unsynced};
use consign::sqlite::Consign;
use consign::stream;
use consign_test::Random;
use sqlx::sqlite::{SqlitePool, SqliteSynchronous};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests at once, each noting its article when it was acknowledged.
const CLIENTS: i64 = 4;
/// Likes are of so many articles, and each has a number of its own.
const ARTICLES: i64 = 50;
/// The run ends after this …
const RUN: Duration = Duration::from_secs(4);
/// … or when so much was written.
const JOURNAL_MAX: u64 = 96 << 20;
/// Cuts of one run.
const CUTS: usize = 120;
/// Of these so many are started again, until everything is counted.
const RESTARTS: usize = 8;

fn acknowledged(folder: &Path) -> Arc<File> {
    let path = folder.join("acknowledged");
    Arc::new(OpenOptions::new().create(true).append(true).open(path).unwrap())
}

/// One write a line: a line is there or it is not.
fn acknowledge(mut to: &File, id: i64) {
    to.write_all(format!("{id}\n").as_bytes()).unwrap();
}

/// The role [`Role::Publishes`].
pub(crate) async fn publish(folder: &Path) {
    let (consign, acks) = (open(folder).await, acknowledged(folder));
    let clients = (0..CLIENTS).map(|client| {
        let (consign, acks) = (consign.clone(), Arc::clone(&acks));
        tokio::spawn(async move {
            for id in (client..).step_by(usize::try_from(CLIENTS).unwrap()) {
                let mut tx = consign.begin().await.unwrap();
                let insert = "insert into likes (id, article_id) values (?1, ?2)";
                let insert = sqlx::query(insert).bind(id).bind(id % ARTICLES);
                insert.execute(&mut *tx).await.unwrap();
                tx.publish(&Liked { article_id: id % ARTICLES }).await.unwrap();
                tx.commit().await.unwrap();
                acknowledge(&acks, id);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

/// The role [`Role::WritesNormal`].
pub(crate) async fn write_normal(folder: &Path) {
    let options = options(folder).synchronous(SqliteSynchronous::Normal);
    let (pool, acks) = (SqlitePool::connect_with(options).await.unwrap(), acknowledged(folder));
    for id in 0_i64.. {
        let insert = sqlx::query("insert into likes (id, article_id) values (?1, 1)").bind(id);
        insert.execute(&pool).await.unwrap();
        acknowledge(&acks, id);
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
}

/// What processes in these roles wrote, and what was there before.
struct Run {
    before: [Vec<u8>; 3],
    journal: Journal,
}

impl Run {
    async fn of(roles: &[Role]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut maker = Child::start(Role::MakesTables, folder.path());
        assert!(maker.ended().success(), "{}", maker.printed());
        let before = journal::files(folder.path());
        let mut written = PathBuf::new();
        let mut children = Vec::new();
        for role in roles {
            let mut command = Child::command(*role);
            written = journal::keep(&mut command, folder.path());
            children.push(Child::run(&mut command, folder.path()));
        }
        let until = Instant::now() + RUN;
        let length = || std::fs::metadata(&written).map_or(0, |metadata| metadata.len());
        while Instant::now() < until && length() < JOURNAL_MAX {
            children.iter_mut().for_each(Child::assert_runs);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(children);
        Self { before, journal: Journal::read(&written) }
    }

    /// Random moments, in order.
    fn moments(&self, random: &mut Random) -> Vec<usize> {
        let mut moments =
            (0..CUTS).map(|_| random.below(self.journal.len() + 1)).collect::<Vec<_>>();
        moments.sort_unstable();
        moments
    }
}

/// What the next start finds.
async fn start_again(disk: &Disk<'_>, unsynced: Unsynced, random: &mut Random) -> Database {
    let folder = tempfile::tempdir().unwrap();
    disk.cut(folder.path(), unsynced, random);
    let pool = SqlitePool::connect_with(options(folder.path())).await.unwrap();
    let consign = Consign::open(&pool).await.unwrap();
    Database { pool, consign, folder }
}

/// How many of the acknowledged likes are not there.
async fn missing(d: &Database, disk: &Disk<'_>) -> usize {
    let likes = sqlx::query_scalar::<_, i64>("select id from likes").fetch_all(&d.pool).await;
    let likes = likes.unwrap().into_iter().collect::<HashSet<_>>();
    disk.acknowledged().iter().filter(|id| !likes.contains(id)).count()
}

const STORED: &str = "select count(*) from likes";
const PUBLISHED: &str = "select count(*) from consign_log";
const COUNTED: &str = "select coalesce(sum(likes), 0) from like_counts";
const PASSED: &str = "select coalesce(sum(next_offset), 0) from consign_cursor";
/// Articles whose count is not what is stored.
const DIFFERENT: &str = "select count(*) from
    (select article_id, count(*) n from likes group by article_id) stored
    full join like_counts using (article_id) where likes is not n";
/// Partitions whose offsets are not dense, or given away twice.
const NOT_DENSE: &str = "select count(*) from consign_partition p where next_offset <>
    (select count(*) from consign_log where position >> 44 = p.number)";

/// What must be so at any moment.
async fn assert_whole(d: &Database, disk: &Disk<'_>) {
    let check = sqlx::query_scalar::<_, String>("pragma integrity_check").fetch_one(&d.pool).await;
    assert_eq!(check.unwrap(), "ok");
    assert_eq!(missing(d, disk).await, 0, "acknowledged and lost");
    assert_eq!(d.number(STORED).await, d.number(PUBLISHED).await, "a row without its message");
    assert_eq!(d.number(NOT_DENSE).await, 0, "offsets are not dense");
    assert_eq!(d.number(COUNTED).await, d.number(PASSED).await, "an effect without its cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_nothing_acknowledged_and_counts_nothing_twice() {
    let mut random = Random::new("a power cut");
    let run = Run::of(&[Role::Publishes, Role::CountsLikes]).await;
    let moments = run.moments(&mut random);
    let mut disk = Disk::new(&run.journal, run.before.clone());
    let (mut lossy, mut acknowledged) = (0, 0);
    for (cut, moment) in moments.into_iter().enumerate() {
        disk.play(moment);
        let unsynced = if random.coin() { Unsynced::Lost } else { Unsynced::Torn };
        let d = start_again(&disk, unsynced, &mut random).await;
        assert_whole(&d, &disk).await;
        lossy += usize::from(disk.has_unsynced());
        acknowledged = disk.acknowledged().len();
        if cut % (CUTS / RESTARTS) == 0 {
            let workers = d.consign.workers().subscribe(stream("likes", likes()));
            let running = workers.start().await.unwrap();
            let stored = d.number(STORED).await;
            d.becomes(COUNTED, stored).await;
            running.shutdown().await.unwrap();
            assert_eq!(d.number(DIFFERENT).await, 0, "counted is not stored");
        }
    }
    println!("{CUTS} cuts, {lossy} lost writes; acknowledged in the end: {acknowledged}");
    assert!(lossy > CUTS / 20 && acknowledged > 100, "{lossy} cuts, {acknowledged}: no proof");
}

/// What the test above must be able to see.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_rows_that_were_acknowledged_below_full() {
    let mut random = Random::new("a power cut below FULL");
    let run = Run::of(&[Role::WritesNormal]).await;
    let moments = run.moments(&mut random);
    let mut disk = Disk::new(&run.journal, run.before.clone());
    let mut lost = 0;
    for moment in moments.into_iter().step_by(10) {
        disk.play(moment);
        let d = start_again(&disk, Unsynced::Lost, &mut random).await;
        lost += missing(&d, &disk).await;
    }
    assert!(lost > 0, "nothing was lost below FULL: the test above proves nothing");
}
