//! The obvious ways that do not hold. Each is played here as it must fail: where one holds, the
//! test that ours holds proves nothing.

use crate::child::{Child, Role};
use crate::database::{Database, Liked, likes, options};
use consign::stream;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{AssertSqlSafe, Connection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Cursor and effect in one transaction of a plain connection, as one would write it.
struct Plain(SqliteConnection);

impl Plain {
    async fn new(d: &Database) -> Self {
        let tables = "create table place (next integer not null) strict;
            insert into place values (0); create table effects (n integer) strict;
            create table guarded (n integer) strict;
            create trigger guard before insert on guarded when new.n < 0
              begin select raise(rollback, 'no'); end";
        sqlx::raw_sql(tables).execute(&d.pool).await.unwrap();
        Self(SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap())
    }

    async fn run(&mut self, sql: &str) -> sqlx::Result<u64> {
        let ran = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.0).await;
        ran.map(|done| done.rows_affected())
    }

    /// Takes the message at `offset`, whose handler runs `sql` and swallows what SQLite says.
    async fn deliver(&mut self, offset: i64, handler: &[&str]) {
        self.run("begin immediate").await.unwrap();
        let moves = format!("update place set next = {offset} + 1 where next = {offset}");
        if self.run(&moves).await.unwrap() == 1 {
            for sql in handler {
                let _ = self.run(sql).await;
            }
        }
        // Refused where nothing is open any more; then there is nothing to commit either.
        let _ = self.run("commit").await;
    }
}

/// What holds is in `ending.rs`: the same handlers, and each effect once.
#[tokio::test]
async fn a_plain_transaction_that_its_handler_leaves_doubles_or_loses_effects() {
    let effect = "insert into effects values (1)";
    let doubled: [&[&str]; 2] =
        [&["rollback; begin", effect], &["insert into guarded values (-1)", effect]];
    for handler in doubled {
        let d = Database::new().await;
        let mut plain = Plain::new(&d).await;
        // The cursor did not move, so the message comes again.
        plain.deliver(0, handler).await;
        plain.deliver(0, handler).await;
        assert_eq!(d.number("select count(*) from effects").await, 2, "{handler:?}");
    }
    let d = Database::new().await;
    let mut plain = Plain::new(&d).await;
    plain.run("begin immediate").await.unwrap();
    plain.run("update place set next = 3 where next = 0").await.unwrap();
    plain.run(effect).await.unwrap();
    plain.run("commit").await.unwrap();
    // Killed here, before the effects of the other two messages, which nobody delivers again.
    drop(plain);
    assert_eq!(d.number("select next from place").await, 3);
    assert_eq!(d.number("select count(*) from effects").await, 1);
}

/// Reads something, and stays in its transaction: a backup, an analyst.
async fn reader(d: &Database) -> SqliteConnection {
    let mut reader = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    sqlx::raw_sql("begin; select count(*) from likes").execute(&mut reader).await.unwrap();
    reader
}

/// Makes requests until it is told to stop; counts those that fail, and all.
async fn requests(d: &Database, pool: SqlitePool, stop: Arc<AtomicBool>) -> (u32, u32) {
    let (failed, all) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let clients = (0..3).map(|_| {
        let (pool, consign, stop) = (pool.clone(), d.consign.clone(), Arc::clone(&stop));
        let (failed, all) = (Arc::clone(&failed), Arc::clone(&all));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                if request(&consign, &pool).await.is_err() {
                    failed.fetch_add(1, Ordering::SeqCst);
                }
                all.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    (failed.load(Ordering::SeqCst), all.load(Ordering::SeqCst))
}

async fn request(consign: &consign::sqlite::Consign, pool: &SqlitePool) -> Result<(), String> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| error.to_string())?;
    let published = consign.publish_in(&mut tx, &Liked { article_id: 1 }).await;
    published.map_err(|error| error.to_string())?;
    tx.commit().await.map_err(|error| error.to_string())
}

const PATIENCE: Duration = Duration::from_millis(1_500);

/// SQLite's busy handler waits for the reader, and keeps the writers out meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_checkpoint_with_a_busy_handler_fails_requests_behind_one_reader() {
    let d = Database::new().await;
    let _reader = reader(&d).await;
    d.consign.publish_all(&vec![Liked { article_id: 1 }; 5_000]).await.unwrap();
    let pool = options(d.folder.path()).busy_timeout(PATIENCE);
    let pool = SqlitePool::connect_with(pool).await.unwrap();
    let mut checkpoints = {
        let options = options(d.folder.path()).busy_timeout(PATIENCE * 2);
        SqliteConnection::connect_with(&options).await.unwrap()
    };
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&stop);
    let naive = tokio::spawn(async move {
        let restart = "pragma wal_checkpoint(restart)";
        sqlx::raw_sql(restart).execute(&mut checkpoints).await.unwrap();
        done.store(true, Ordering::SeqCst);
    });
    let (failed, all) = requests(&d, pool, stop).await;
    naive.await.unwrap();
    assert!(failed > 0, "none of {all} requests failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_one_reader_our_checkpoints_fail_no_request() {
    let d = Database::new().await;
    // More pages than a checkpoint waits for, however slow the disk.
    let backlog = 60_000;
    for _ in 0..backlog / 10_000 {
        d.consign.publish_all(&vec![Liked { article_id: 1 }; 10_000]).await.unwrap();
    }
    let _reader = reader(&d).await;
    let pool = options(d.folder.path()).busy_timeout(PATIENCE);
    let pool = SqlitePool::connect_with(pool).await.unwrap();
    let running = d.consign.workers().subscribe(stream("likes", likes())).start().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&stop);
    tokio::spawn(async move {
        tokio::time::sleep(PATIENCE * 2).await;
        done.store(true, Ordering::SeqCst);
    });
    let (failed, all) = requests(&d, pool, stop).await;
    d.becomes("select coalesce(sum(likes), 0) from like_counts", backlog + i64::from(all)).await;
    running.shutdown().await.unwrap();
    assert!(all > 0 && failed == 0, "{failed} of {all} requests failed");
    // Something was copied while the reader stood in the way of the rest.
    let look = "pragma wal_checkpoint(noop)";
    let (_, pages, copied): (i64, i64, i64) =
        sqlx::query_as(look).fetch_one(&d.pool).await.unwrap();
    assert!(copied > 0 && copied < pages, "{copied} of {pages} pages were copied");
}

/// The reason for the lint: closing any descriptor of the file drops the locks of all of them.
#[tokio::test]
async fn reading_the_file_beside_sqlite_makes_a_committed_row_vanish() {
    for reads in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut ours = SqliteConnection::connect_with(&options(folder.path())).await.unwrap();
        sqlx::raw_sql("create table likes (id integer primary key); insert into likes values (1)")
            .execute(&mut ours)
            .await
            .unwrap();
        if reads {
            for file in ["app.db", "app.db-shm"] {
                drop(std::fs::read(folder.path().join(file)).unwrap());
            }
        }
        other(&folder, "likes: 1");
        sqlx::raw_sql("insert into likes values (2)").execute(&mut ours).await.unwrap();
        other(&folder, if reads { "likes: 1" } else { "likes: 2" });
    }
}

fn other(folder: &tempfile::TempDir, sees: &str) {
    let mut other = Child::start(Role::Looks, folder.path());
    assert!(other.ended().success(), "{}", other.printed());
    assert!(other.printed().contains(sees), "not {sees:?} but {}", other.printed());
}

/// A backfill that reads in a snapshot, and continues behind what was published meanwhile.
#[tokio::test]
async fn a_backfill_that_takes_the_cursor_of_its_write_misses_events() {
    for late in [false, true] {
        let d = Database::new().await;
        d.like(1).await.unwrap();
        let mut snapshot = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
        sqlx::raw_sql("begin").execute(&mut snapshot).await.unwrap();
        let end = "select coalesce(sum(next_offset), 0) from consign_partition";
        let counted: i64 = sqlx::query_scalar("select count(*) from likes")
            .fetch_one(&mut snapshot)
            .await
            .unwrap();
        let early: i64 = sqlx::query_scalar(end).fetch_one(&mut snapshot).await.unwrap();
        sqlx::raw_sql("commit").execute(&mut snapshot).await.unwrap();
        // Somebody publishes between the snapshot and the write.
        d.like(1).await.unwrap();
        let cursor = if late { d.number(end).await } else { early };
        let events = d.number(end).await - cursor;
        let stored = d.number("select count(*) from likes").await;
        assert_eq!(counted + events == stored, !late);
    }
}

/// Bounded: none of the above may hang.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_for_a_stopped_writer_is_answered_after_five_seconds() {
    let d = Database::new().await;
    let mut other = SqliteConnection::connect_with(&options(d.folder.path())).await.unwrap();
    sqlx::raw_sql("begin immediate").execute(&mut other).await.unwrap();
    let asked = Instant::now();
    let refused = d.like(1).await.unwrap_err();
    assert!(refused.is_busy(), "{refused}");
    let waited = asked.elapsed();
    assert!((4..8).contains(&waited.as_secs()), "{waited:?}");
    sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
    d.like(1).await.unwrap();
    assert_eq!(d.number("select count(*) from likes").await, 1);
}
