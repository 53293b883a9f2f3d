//! Rebuilds a read model in place: asked for by anybody, done by the subscription's workers.

use crate::handle::Log;
use crate::liveness;
use crate::owner;
use crate::publish::micros;
use crate::request::{find, no_subscription};
use crate::sqlite::thread::in_one_hop;
use crate::topics::TopicRow;
use consign_core::{Error, Offset, Partition, Result, SubscriptionId, WorkerId};
use rusqlite::{Connection, params};
use sqlx::SqliteConnection;
use std::time::Duration;

/// It is waited for a worker that takes it up for so long.
const TAKEN_UP: Duration = Duration::from_secs(5);
/// Rows that are removed in one transaction, at most, of each table.
const PIECE: i64 = 1_000;

/// What a subscription has of its own beside its cursors.
const CLEAR: [&str; 6] = [
    "DELETE FROM consign_done WHERE subscription = ?1",
    "DELETE FROM consign_retry WHERE subscription = ?1",
    "DELETE FROM consign_parked_key WHERE subscription = ?1",
    "DELETE FROM consign_dead_letter WHERE subscription = ?1",
    "DELETE FROM consign_skipped WHERE subscription = ?1",
    "DELETE FROM consign_command WHERE subscription = ?1",
];
/// The same, in pieces.
const REMOVE: [&str; 4] = [
    "DELETE FROM consign_done WHERE (subscription, partition, log_offset) IN
        (SELECT subscription, partition, log_offset FROM consign_done
         WHERE subscription = ?1 LIMIT ?2)",
    "DELETE FROM consign_retry WHERE (subscription, partition, log_offset) IN
        (SELECT subscription, partition, log_offset FROM consign_retry
         WHERE subscription = ?1 LIMIT ?2)",
    "DELETE FROM consign_dead_letter WHERE id IN
        (SELECT id FROM consign_dead_letter WHERE subscription = ?1 LIMIT ?2)",
    "DELETE FROM consign_command WHERE id IN
        (SELECT id FROM consign_command WHERE subscription = ?1 LIMIT ?2)",
];
const PLACE: &str = "INSERT INTO consign_cursor
    (subscription, partition, next_offset, started_offset, passed, updated_at, epoch)
    SELECT ?1, number, max(first_offset, ?3), max(first_offset, ?3), max(first_offset, ?3), ?4, 1
        FROM consign_partition WHERE number = ?2
    ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset,
        started_offset = excluded.started_offset, passed = excluded.passed,
        updated_at = excluded.updated_at, epoch = epoch + 1, owner = NULL, suspect = 0,
        applied = 0, marked = 0, dead = 0, waiting = 0, discarded = 0, missed = 0";
const ASK: &str =
    "UPDATE consign_subscription SET rebuild = 'asked', rebuild_refused = NULL WHERE id = ?1";
const STANDS: &str =
    "SELECT rebuild IS 'asked', rebuild_refused FROM consign_subscription WHERE id = ?1";

/// What has become of a rebuild that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuild {
    /// The workers are at it; what is read meanwhile is not whole.
    Begun,
    /// No worker has taken it up within 5 s; the first one that runs will.
    Asked,
}

impl Log {
    /// Asks that a read model be built anew, in place; see the facade.
    ///
    /// # Errors
    /// `no-such-subscription`, `cannot-rebuild`, and what SQLite says.
    pub async fn rebuild(&self, subscription: &str) -> Result<Rebuild> {
        let mut changes = self.changes();
        let mut tx = self.begin().await?;
        let asked = in_one_hop(&mut tx, "ask for a rebuild", |db| ask(db, subscription)).await?;
        let (of, is_projection) = asked.ok_or_else(|| no_subscription(subscription))?;
        if !is_projection {
            return Err(refused(subscription, IS_HANDLER));
        }
        tx.commit().await?;
        let mut reads = self.open_reads().await?;
        let taken_up = async {
            while is_asked(&mut reads, of, subscription).await? {
                changes.next().await;
            }
            Ok(Rebuild::Begun)
        };
        tokio::time::timeout(TAKEN_UP, taken_up).await.unwrap_or(Ok(Rebuild::Asked))
    }

    /// Removes a subscription with all that is kept of it; see the facade.
    ///
    /// # Errors
    /// `no-such-subscription`, `still-running`, and what SQLite says.
    pub async fn remove_subscription(&self, subscription: &str) -> Result {
        loop {
            let mut tx = self.begin().await?;
            let now = micros(self.clock().now());
            let look = |db: &Connection| {
                let Some((of, _)) = find(db, subscription)? else { return Ok(None) };
                Ok(Some((of, owner::workers(db, of, now)?)))
            };
            let found = in_one_hop(&mut tx, "look at a subscription", look).await?;
            let (of, workers) = found.ok_or_else(|| no_subscription(subscription))?;
            if self.is_anybody_alive(workers) {
                return Err(still_running(subscription));
            }
            let is_gone = in_one_hop(&mut tx, "remove a subscription", |db| remove(db, of)).await?;
            tx.commit().await?;
            if is_gone {
                return Ok(());
            }
        }
    }

    fn is_anybody_alive(&self, workers: Vec<WorkerId>) -> bool {
        let all = workers.len();
        liveness::dead_of(self.path(), workers).len() < all
    }
}

const IS_HANDLER: &str = "it is a handler, whose effects may be such that they cannot be taken \
                          back; only a projection can be rebuilt";

fn refused(subscription: &str, why: &str) -> Error {
    let message = format!("the subscription {subscription} is not rebuilt: {why}");
    Error::new("cannot-rebuild", message)
}

fn still_running(subscription: &str) -> Error {
    let message = format!(
        "the subscription {subscription} is not removed, since a process still runs it: stop that \
         process first, or start it without this subscription"
    );
    Error::new("still-running", message)
}

/// Answers whether it is a projection; nothing is asked of anything else.
fn ask(db: &Connection, subscription: &str) -> rusqlite::Result<Option<(SubscriptionId, bool)>> {
    let Some((of, _)) = find(db, subscription)? else { return Ok(None) };
    let select = "SELECT projects FROM consign_subscription WHERE id = ?1";
    let is_projection = db.query_row(select, [of.0], |row| row.get(0))?;
    if is_projection {
        db.execute(ASK, [of.0])?;
    }
    Ok(Some((of, is_projection)))
}

async fn is_asked(
    reads: &mut SqliteConnection,
    of: SubscriptionId,
    subscription: &str,
) -> Result<bool> {
    let look = |db: &Connection| {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?));
        db.query_row(STANDS, [of.0], row)
    };
    match in_one_hop(reads, "look at a rebuild", look).await? {
        (true, _) => Ok(true),
        (false, None) => Ok(false),
        (false, Some(why)) => Err(refused(subscription, &why)),
    }
}

/// Takes back all that a subscription has come to, and places its cursors anew: whoever owned a
/// partition is fenced.
pub(crate) fn restart(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    cursors: &[(Partition, Offset)],
    now: i64,
) -> rusqlite::Result<()> {
    for clear in CLEAR {
        db.execute(clear, [of.0])?;
    }
    let mut place = db.prepare(PLACE)?;
    for partition in (0..topic.partitions).map(Partition) {
        let placed = cursors.iter().find(|(of, _)| *of == partition);
        let next = placed.map_or(0, |(_, offset)| offset.0.cast_signed());
        place.execute(params![of.0, topic.number(partition), next, now])?;
    }
    let begin = "UPDATE consign_subscription
        SET state = 'backfilling', resume = NULL, rebuild = 'begun' WHERE id = ?1";
    db.execute(begin, [of.0]).map(drop)
}

/// Asks whether the log still has all that was ever published to a topic.
pub(crate) fn is_whole(db: &Connection, topic: TopicRow) -> rusqlite::Result<bool> {
    let select = "SELECT max(first_offset) = 0 FROM consign_partition WHERE topic = ?1";
    db.query_row(select, [topic.id], |row| row.get(0))
}

/// Where a queue began, as long as the log still has all that came since. What it missed while it was
/// retired the log has no longer, and its start is no longer known.
pub(crate) fn began(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
) -> rusqlite::Result<Option<Vec<(Partition, Offset)>>> {
    let select = "SELECT c.partition, c.started_offset,
            c.started_offset < p.first_offset OR c.missed > 0
        FROM consign_cursor c JOIN consign_partition p ON p.number = c.partition
        WHERE c.subscription = ?1";
    let mut select = db.prepare(select)?;
    let row = |row: &rusqlite::Row<'_>| {
        let (partition, started): (_, i64) = (topic.partition(row.get(0)?), row.get(1)?);
        Ok(((partition, Offset(started.cast_unsigned())), row.get(2)?))
    };
    let found = select.query_map([of.0], row)?.collect::<rusqlite::Result<Vec<(_, bool)>>>()?;
    let is_lost = found.iter().any(|(_, is_lost)| *is_lost);
    Ok((!is_lost).then(|| found.into_iter().map(|(began, _)| began).collect()))
}

/// Says why it is not rebuilt; it goes on as it was.
pub(crate) fn refuse(db: &Connection, of: SubscriptionId, why: &str) -> rusqlite::Result<()> {
    let update = "UPDATE consign_subscription SET rebuild = NULL, rebuild_refused = ?2
                  WHERE id = ?1 AND rebuild = 'asked'";
    db.execute(update, params![of.0, why]).map(drop)
}

/// Removes a piece of what is kept of a subscription; `true`: it was the last, the row itself.
fn remove(db: &Connection, of: SubscriptionId) -> rusqlite::Result<bool> {
    let mut removed = 0;
    for remove in REMOVE {
        removed += db.execute(remove, [of.0, PIECE])?;
    }
    if removed > 0 {
        return Ok(false);
    }
    for clear in CLEAR {
        db.execute(clear, [of.0])?;
    }
    db.execute("DELETE FROM consign_cursor WHERE subscription = ?1", [of.0])?;
    // Its number is not given again: a worker that was stopped all the while may still hold it.
    let keep = "INSERT INTO consign_meta (name, value) SELECT 'last_subscription', max(id)
        FROM consign_subscription WHERE true
        ON CONFLICT (name) DO UPDATE SET value = max(CAST(value AS INTEGER), excluded.value)";
    db.execute(keep, [])?;
    db.execute("DELETE FROM consign_subscription WHERE id = ?1", [of.0])?;
    Ok(true)
}
