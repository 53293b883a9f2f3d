//! Worker rows, and which worker owns which partition, under which epoch.

use crate::sqlite::checkpoint::Pinned;
use crate::topics::TopicRow;
use crate::{liveness, standstill, subscription};
use consign_core::{Epoch, Member, Members, Offset, Owned, Partition, SubscriptionId, WorkerId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::Duration;
use uuid::Uuid;

/// A worker that is merely stopped keeps its partitions for this long.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// Rows of workers that died on a machine that is gone are removed after this.
const FORGOTTEN: Duration = Duration::from_hours(24);

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Writes the row of a worker whose lock is held already.
pub(crate) fn join(
    db: &Connection,
    worker: WorkerId,
    subscriptions: &[SubscriptionId],
    now: i64,
) -> rusqlite::Result<()> {
    let forget = "DELETE FROM consign_worker WHERE alive_until < ?1";
    db.execute(forget, [now - micros(FORGOTTEN)])?;
    standstill::bury(db)?;
    let insert = "INSERT INTO consign_worker (id, name, subscriptions, started_at, alive_until)
                  VALUES (?1, ?2, ?3, ?4, ?5)";
    let ids = subscriptions.iter().map(|of| of.0).collect::<Vec<_>>();
    let ids = serde_json::Value::from(ids).to_string();
    let name = format!("pid {}", std::process::id());
    db.execute(insert, params![worker.0.as_bytes(), name, ids, now, now + micros(LEASE)])?;
    subscription::note_named(db, subscriptions, now)
}

/// Workers whose lease has run out: dead, or stopped.
pub(crate) fn silent(db: &Connection, now: i64) -> rusqlite::Result<Vec<WorkerId>> {
    let mut select = db.prepare("SELECT id FROM consign_worker WHERE alive_until <= ?1")?;
    select.query_map([now], |row| worker(row.get_ref(0)?.as_blob()?))?.collect()
}

/// What a heartbeat found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    InTime,
    /// The lease had run out: others may have taken over, which epochs tell.
    Late,
    /// Others have buried this worker.
    Buried,
}

/// Renews a lease, also one that has run out: where nobody could write, nobody has taken over. Says by
/// the way who is in the checkpoints' way.
pub(crate) fn heartbeat(
    db: &Connection,
    worker: WorkerId,
    pinned: Option<Pinned>,
    now: i64,
) -> rusqlite::Result<Beat> {
    let beat = if is_late(db, worker, now)? { Beat::Late } else { Beat::InTime };
    let update = "UPDATE consign_worker SET alive_until = ?2, pinned_since = ?3, pinned_bytes = ?4
                  WHERE id = ?1 RETURNING subscriptions";
    let until = now + micros(LEASE);
    let since = pinned.map(|pinned| now - micros(pinned.age()));
    let bytes = pinned.map(|pinned| pinned.bytes);
    let given = params![worker.0.as_bytes(), until, since, bytes];
    let named = db.query_row(update, given, |row| {
        let named = serde_json::from_str::<Vec<i64>>(row.get_ref(0)?.as_str()?);
        Ok(named.unwrap_or_default().into_iter().map(SubscriptionId).collect::<Vec<_>>())
    });
    let Some(named) = named.optional()? else { return Ok(Beat::Buried) };
    subscription::note_named(db, &named, now)?;
    Ok(beat)
}

/// A worker's own lease has run out.
fn is_late(db: &Connection, worker: WorkerId, now: i64) -> rusqlite::Result<bool> {
    let select = "SELECT 1 FROM consign_worker WHERE id = ?1 AND alive_until <= ?2";
    db.prepare_cached(select)?.exists(params![worker.0.as_bytes(), now])
}

/// A worker process as those see it who only look.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: Vec<u8>,
    /// The number that its system knows it by.
    pub(crate) pid: Option<u32>,
    /// What it works for.
    pub(crate) subscriptions: Vec<i64>,
    /// Since when a reader pins the WAL, as it sees it, and how many bytes that has.
    pub(crate) pinned: Option<(i64, i64)>,
}

/// Those that are alive, by their lease and by the lock that each holds.
pub(crate) fn living(db: &Connection, now: i64) -> rusqlite::Result<Vec<Process>> {
    let select = "SELECT id, name, subscriptions, pinned_since, pinned_bytes FROM consign_worker
                  WHERE alive_until > ?1";
    let mut select = db.prepare_cached(select)?;
    let process = |row: &Row<'_>| {
        let pid = row.get_ref(1)?.as_str()?.strip_prefix("pid ").and_then(|pid| pid.parse().ok());
        let subscriptions = serde_json::from_str(row.get_ref(2)?.as_str()?).unwrap_or_default();
        let since: Option<i64> = row.get(3)?;
        let pinned =
            since.map(|since| Ok::<_, rusqlite::Error>((since, row.get(4)?))).transpose()?;
        let process = Process { id: row.get(0)?, pid, subscriptions, pinned };
        Ok((worker(row.get_ref(0)?.as_blob()?)?, process))
    };
    let all = select.query_map([now], process)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let file = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let file = db.query_row(file, [], |row| row.get::<_, String>(0))?;
    let ids = all.iter().map(|(worker, _)| *worker).collect();
    let dead = std::fs::canonicalize(file).map(|path| liveness::dead_of(&path, ids));
    let dead = dead.unwrap_or_default();
    let living = all.into_iter().filter(|(worker, _)| !dead.contains(worker));
    Ok(living.map(|(_, process)| process).collect())
}

/// Removes the rows of workers that left or died: what they own is free.
pub(crate) fn bury(db: &Connection, workers: &[WorkerId]) -> rusqlite::Result<()> {
    let mut delete = db.prepare("DELETE FROM consign_worker WHERE id = ?1")?;
    for worker in workers {
        delete.execute([worker.0.as_bytes()])?;
    }
    standstill::bury(db)
}

/// Messages of a partition that a worker may have had in hand when it died: so many of the log, of
/// those that were due, and of those that waited behind others.
const SUSPECTS: i64 = 100;
/// Up to the log's end: what came later was in nobody's hand.
const SUSPECT_CURSORS: &str = "UPDATE consign_cursor AS c SET suspect = max(suspect, min(
        (SELECT next_offset FROM consign_partition WHERE number = c.partition),
        next_offset + ?2 + (SELECT count(*) FROM consign_done d
                            WHERE d.subscription = c.subscription AND d.partition = c.partition)))
    WHERE owner = ?1 AND (?3 IS NULL OR subscription = ?3) RETURNING subscription, partition";
const SUSPECT_WAITING: &str = "UPDATE consign_retry SET suspect = 1
    WHERE subscription = ?1 AND partition = ?2 AND log_offset IN (
        SELECT log_offset FROM (SELECT log_offset FROM consign_retry
            WHERE subscription = ?1 AND partition = ?2 AND due_at <= ?3 ORDER BY due_at LIMIT ?4)
        UNION ALL SELECT log_offset FROM (SELECT log_offset FROM consign_retry
            WHERE subscription = ?1 AND partition = ?2 AND due_at IS NULL
            ORDER BY log_offset LIMIT ?4))";

/// Notes that what dead workers had in hand may have killed them.
///
/// Who died alone is suspected too, and so are those that ended with a whole tree of processes:
/// nobody knows what ended them, and a message that does it each time must come to its end.
pub(crate) fn suspect(db: &Connection, dead: &[WorkerId], now: i64) -> rusqlite::Result<()> {
    dead.iter().try_for_each(|worker| suspect_of(db, *worker, None, now))
}

/// The same of one worker: of one subscription, or of all.
fn suspect_of(
    db: &Connection,
    worker: WorkerId,
    of: Option<SubscriptionId>,
    now: i64,
) -> rusqlite::Result<()> {
    let (mut cursors, mut waiting) = (db.prepare(SUSPECT_CURSORS)?, db.prepare(SUSPECT_WAITING)?);
    let given = params![worker.0.as_bytes(), SUSPECTS, of.map(|of| of.0)];
    let owned = cursors.query_map(given, |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (of, partition) in owned.collect::<rusqlite::Result<Vec<(i64, i64)>>>()? {
        waiting.execute([of, partition, now, SUSPECTS])?;
    }
    Ok(())
}

/// Counts a consumer of this worker that died or hangs. What it had in hand may have done that; where
/// it stood still, nobody does now.
pub(crate) fn consumer_restarts(
    db: &Connection,
    of: SubscriptionId,
    me: WorkerId,
    now: i64,
) -> rusqlite::Result<()> {
    let count = "UPDATE consign_subscription SET restarts = restarts + 1 WHERE id = ?1";
    db.execute(count, [of.0])?;
    standstill::end(db, of, me)?;
    suspect_of(db, me, Some(of), now)
}

/// Frees all that a leaving worker owns.
pub(crate) fn free_all(db: &Connection, worker: WorkerId) -> rusqlite::Result<()> {
    let update = "UPDATE consign_cursor SET owner = NULL WHERE owner = ?1";
    db.execute(update, [worker.0.as_bytes()])?;
    Ok(())
}

/// Workers of a subscription whose lease has not run out, in the order of their ids.
pub(crate) fn workers(
    db: &Connection,
    of: SubscriptionId,
    now: i64,
) -> rusqlite::Result<Vec<WorkerId>> {
    let select = "SELECT id FROM consign_worker WHERE alive_until > ?2
                  AND EXISTS (SELECT 1 FROM json_each(subscriptions) WHERE value = ?1) ORDER BY id";
    let mut select = db.prepare(select)?;
    select.query_map([of.0, now], |row| worker(row.get_ref(0)?.as_blob()?))?.collect()
}

/// Living workers of a subscription, and the owners of its partitions.
///
/// Whose own lease has run out judges nobody by theirs: what kept it from writing may have kept
/// them, too.
pub(crate) fn members(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    me: WorkerId,
    (now, judged_at): (i64, i64),
) -> rusqlite::Result<Members> {
    let judged_at = if is_late(db, me, now)? { i64::MIN } else { judged_at };
    let workers = workers(db, of, judged_at)?;
    let select = "SELECT partition, owner FROM consign_cursor WHERE subscription = ?1";
    let mut select = db.prepare(select)?;
    let partitions = select.query_map([of.0], |row| {
        let owner = row.get_ref(1)?.as_blob_or_null()?.map(worker).transpose()?;
        let owner = owner.filter(|owner| workers.contains(owner));
        Ok(Member { partition: topic.partition(row.get(0)?), owner })
    })?;
    let partitions = partitions.collect::<rusqlite::Result<Vec<_>>>()?;
    let kinds = subscription::kinds(db, of)?;
    let (is_paused, is_asked, is_building) = subscription::is_paused_or_asked(db, of)?;
    Ok(Members { workers, partitions, kinds, is_paused, is_asked, is_building })
}

fn worker(id: &[u8]) -> rusqlite::Result<WorkerId> {
    let id = Uuid::from_slice(id).map_err(|source| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(source))
    })?;
    Ok(WorkerId(id))
}

/// Takes what no living worker owns, as leases stood at `judged_at`; the epoch grows, so that whoever
/// had it is fenced.
pub(crate) fn take(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    partitions: &[Partition],
    me: WorkerId,
    (now, judged_at): (i64, i64),
) -> rusqlite::Result<Vec<Owned>> {
    let update = "UPDATE consign_cursor SET owner = ?3, epoch = epoch + 1, updated_at = ?4
        WHERE subscription = ?1 AND partition = ?2
          AND EXISTS (SELECT 1 FROM consign_worker w WHERE w.id = ?3 AND w.alive_until > ?4)
          AND EXISTS (SELECT 1 FROM consign_subscription s
                      WHERE s.id = ?1 AND s.state = 'running' AND s.rebuild IS NOT 'asked')
          AND (owner IS NULL OR owner = ?3 OR NOT EXISTS (
               SELECT 1 FROM consign_worker w WHERE w.id = owner AND w.alive_until > ?5))
        RETURNING epoch, next_offset";
    let mut update = db.prepare(update)?;
    let mut owned = Vec::new();
    for partition in partitions.iter().copied() {
        let given = params![of.0, topic.number(partition), me.0.as_bytes(), now, judged_at];
        let taken = update.query_row(given, |row| {
            let (epoch, cursor): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (epoch, cursor) = (Epoch(epoch.cast_unsigned()), Offset(cursor.cast_unsigned()));
            Ok(Owned { partition, epoch, cursor })
        });
        owned.extend(taken.optional()?);
    }
    Ok(owned)
}

/// Hands partitions over.
pub(crate) fn release(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    partitions: &[Partition],
    me: WorkerId,
) -> rusqlite::Result<()> {
    let update = "UPDATE consign_cursor SET owner = NULL
                  WHERE subscription = ?1 AND partition = ?2 AND owner = ?3";
    let mut update = db.prepare(update)?;
    for partition in partitions.iter().copied() {
        update.execute(params![of.0, topic.number(partition), me.0.as_bytes()])?;
    }
    Ok(())
}
