//! A message that a build cannot apply: skipped and counted, or waited at and said.

use crate::database::Database;
use crate::said;
use consign::sqlite::{Consign, Tx};
use consign::{Batch, HandlerResult, Message, Projection, Running, stream};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "note.written", version = 1, topic = "notes", key = note)]
struct Written {
    note: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "note.edited", version = 1, topic = "notes", key = note)]
struct Edited {
    note: i64,
}

#[derive(Debug, Message)]
enum Note {
    Written(Written),
    Edited(Edited),
}

/// The same kind in a later build.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "note.written", version = 2, topic = "notes", key = note)]
struct WrittenWithTitle {
    note: i64,
    #[serde(default)]
    title: String,
}

impl Written {
    fn row(&self) -> (&'static str, i64) {
        ("written", self.note)
    }
}

impl Note {
    fn row(&self) -> (&'static str, i64) {
        match self {
            Self::Written(written) => written.row(),
            Self::Edited(edited) => ("edited", edited.note),
        }
    }
}

impl WrittenWithTitle {
    fn row(&self) -> (&'static str, i64) {
        (if self.title.is_empty() { "written" } else { "titled" }, self.note)
    }
}

/// Keeps a row of each message.
struct Keeps<E>(fn(&E) -> (&'static str, i64));

impl<E: Message> Projection<Tx> for Keeps<E> {
    type Event = E;

    async fn apply(&self, batch: Batch<E>, mut tx: Tx) -> HandlerResult {
        for event in &batch {
            let (kind, note) = (self.0)(event);
            let insert = sqlx::query("insert into kept values (?1, ?2)").bind(kind).bind(note);
            insert.execute(&mut *tx).await?;
        }
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

const EDITED: &str = "select count(*) from kept where kind = 'edited'";
const WRITTEN: &str = "select count(*) from kept where kind = 'written'";
const SKIPPED: &str =
    "select coalesce(sum(total), 0) from consign_skipped where kind = 'note.edited'";
const OWNERS: &str = "select count(distinct owner) from consign_cursor where owner is not null";
/// Messages published that the one subscription has not passed.
const LAG: &str = "select (select sum(next_offset) from consign_partition)
    - (select sum(next_offset) from consign_cursor)";
/// Notes whose keys are each in a partition of its own, all eight of them.
const NOTES: i64 = 64;

async fn database() -> Database {
    said::listen();
    let d = Database::new().await;
    let table = "create table kept (kind text not null, note integer not null) strict";
    sqlx::raw_sql(table).execute(&d.pool).await.unwrap();
    d
}

async fn start<E: Message>(
    consign: &Consign,
    name: &str,
    row: fn(&E) -> (&'static str, i64),
) -> Running {
    consign.workers().subscribe(stream(name, Keeps(row))).start().await.unwrap()
}

async fn publish_all<M: Message>(d: &Database, of: impl Fn(i64) -> M) {
    let all = (0..NOTES).map(of).collect::<Vec<_>>();
    d.consign.publish_all(&all).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_nobody_names_is_skipped_and_counted() {
    let d = database().await;
    let running = start(&d.consign, "only-written", Written::row).await;
    publish_all(&d, |note| Edited { note }).await;
    publish_all(&d, |note| Written { note }).await;
    d.becomes(WRITTEN, NOTES).await;
    d.becomes(LAG, 0).await;
    assert_eq!(d.number(SKIPPED).await, NOTES);
    let partitions = "select count(*) from consign_skipped where total > 0 and last_at >= first_at";
    assert_eq!(d.number(partitions).await, 8);
    running.shutdown().await.unwrap();
}

/// Publishes edits until it is told to stop; counts them.
fn edit(d: &Database, stop: &Arc<AtomicBool>) -> (Arc<AtomicI64>, tokio::task::JoinHandle<()>) {
    let (consign, stop, count) = (d.consign.clone(), Arc::clone(stop), Arc::default());
    let counted: Arc<AtomicI64> = Arc::clone(&count);
    let editing = tokio::spawn(async move {
        while !stop.load(Ordering::SeqCst) {
            let note = count.load(Ordering::SeqCst) % NOTES;
            consign.publish(&Edited { note }).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    (counted, editing)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_rolling_deploy_an_older_worker_passes_none_of_a_newer_kind() {
    let d = database().await;
    let older = start(&d.again().await, "rolling", Written::row).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (published, editing) = edit(&d, &stop);
    d.becomes("select min(1, coalesce(sum(total), 0)) from consign_skipped", 1).await;
    let newer = start(&d.again().await, "rolling", Note::row).await;
    // From here on none is passed unseen, whoever owns its partition.
    let named = published.load(Ordering::SeqCst) + 1;
    d.becomes(OWNERS, 2).await;
    while published.load(Ordering::SeqCst) < named + 4 * NOTES {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::SeqCst);
    editing.await.unwrap();
    let waits = said::line(&["it waits", "note.edited", "rolling", "does not know"]).await;
    assert!(waits.contains("message "), "{waits}");
    assert!(d.number(LAG).await > 0, "the older one passed what it does not know");
    older.shutdown().await.unwrap();
    d.becomes(LAG, 0).await;
    let (skipped, edited) = (d.number(SKIPPED).await, d.number(EDITED).await);
    let published = published.load(Ordering::SeqCst);
    assert_eq!(skipped + edited, published);
    assert!(skipped <= named, "{skipped} were skipped, and {named} published before it was named");
    newer.shutdown().await.unwrap();
}

/// What stands behind the first message that cannot be applied, in its partition, with it.
const BEHIND_NEWER: &str = "select count(*) from consign_log l join consign_log first
    on first.version = 2 and l.position >> 44 = first.position >> 44
    and l.position >= first.position";

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_waits_for_a_newer_build() {
    let d = database().await;
    let older = start(&d.consign, "versions", Written::row).await;
    publish_all(&d, |note| Written { note }).await;
    d.becomes(WRITTEN, NOTES).await;
    d.consign.publish(&WrittenWithTitle { note: 0, title: "a".into() }).await.unwrap();
    publish_all(&d, |note| Written { note }).await;
    said::line(&["it waits", "note.written", "version 2", "versions", "newer build"]).await;
    // What follows it in its partition waits with it; other partitions do not.
    let behind = d.number(BEHIND_NEWER).await;
    d.becomes(LAG, behind).await;
    assert_eq!(d.number(WRITTEN).await, 2 * NOTES + 1 - behind);
    older.shutdown().await.unwrap();
    let newer = start(&d.consign, "versions", WrittenWithTitle::row).await;
    d.becomes(LAG, 0).await;
    assert_eq!(d.number(WRITTEN).await, 2 * NOTES);
    assert_eq!(d.number("select count(*) from kept where kind = 'titled'").await, 1);
    newer.shutdown().await.unwrap();
}

/// Somebody wrote something into the log that is no message, and mends it later.
#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_cannot_be_decoded_is_waited_at_and_named_until_it_is_mended() {
    let d = database().await;
    let running = start(&d.consign, "undecodable", Written::row).await;
    publish_all(&d, |note| Written { note }).await;
    d.becomes(WRITTEN, NOTES).await;
    let broken = "insert into consign_log
          (position, id, kind, version, key, payload, published_at)
        select number << 44 | next_offset, x'0190f1f0c0de70008000000000000bad', 'note.written', 1,
          cast('0' as blob), cast('{\"note\":\"zero\"}' as blob), 0
        from consign_partition where number =
          (select position >> 44 from consign_log where key = cast('0' as blob));
        update consign_partition set next_offset = next_offset + 1 where number =
          (select position >> 44 from consign_log where key = cast('0' as blob))";
    let mut tx = d.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::raw_sql(broken).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    publish_all(&d, |note| Written { note }).await;
    let id = "0190f1f0-c0de-7000-8000-000000000bad";
    let said = said::line(&["it waits", "undecodable", id, "note.written", "decode"]).await;
    assert!(said.contains("expected i64"), "{said}");
    let behind = "select count(*) from consign_log l join consign_log first
        on first.published_at = 0 and l.position >> 44 = first.position >> 44
        and l.position >= first.position";
    let behind = d.number(behind).await;
    d.becomes(LAG, behind).await;
    assert!(behind > 1 && d.number(WRITTEN).await == 2 * NOTES + 1 - behind);
    let mended = "update consign_log set payload = cast('{\"note\":0}' as blob)
                  where published_at = 0";
    sqlx::raw_sql(mended).execute(&d.pool).await.unwrap();
    d.becomes(LAG, 0).await;
    assert_eq!(d.number(WRITTEN).await, 2 * NOTES + 1);
    running.shutdown().await.unwrap();
}
