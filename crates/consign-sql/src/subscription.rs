//! The rows of subscriptions: their topic, the kinds they ever named, how far they have come.

use crate::owner::micros;
use crate::retention::{self, RETIRED_AFTER};
use crate::topics::TopicRow;
use consign_core::{NewSubscription, Offset, Partition, Progress, Resume, SubscriptionId};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeSet;
use std::time::Duration;

/// That a process names a subscription is written this often.
const NAMED_EVERY: Duration = Duration::from_hours(1);

/// What a start finds.
pub(crate) enum Found {
    Ready(SubscriptionId),
    /// It reads another topic, of this name.
    OtherTopic(String),
    /// It reads in another way, by this word.
    OtherReads(String),
}

/// A subscription's row, as it was found.
struct Row {
    id: i64,
    topic: i64,
    kinds: String,
    reads: String,
    topic_name: String,
}

/// Finds or creates a subscription and adds the kinds it names, under the write lock.
pub(crate) fn find_or_create(
    db: &Connection,
    new: &NewSubscription,
    topic: TopicRow,
    now: i64,
) -> rusqlite::Result<Found> {
    let named = new.kinds.iter().map(|kind| kind.name.to_owned()).collect::<BTreeSet<_>>();
    let Some(found) = find(db, new)? else { return create(db, new, topic, named, now) };
    if found.topic != topic.id {
        return Ok(Found::OtherTopic(found.topic_name));
    }
    if found.reads != new.reads.as_str() {
        return Ok(Found::OtherReads(found.reads));
    }
    add_kinds(db, found.id, parse(&found.kinds), named)?;
    note_projection(db, new, found.id)?;
    say_missed(db, new, found.id, now)?;
    note_named(db, &[SubscriptionId(found.id)], now)?;
    Ok(Found::Ready(SubscriptionId(found.id)))
}

fn find(db: &Connection, new: &NewSubscription) -> rusqlite::Result<Option<Row>> {
    let select = "SELECT s.id, s.topic, s.kinds, s.reads, t.name FROM consign_subscription s
                  JOIN consign_topic t ON t.id = s.topic WHERE s.name = ?1";
    let found = db.query_row(select, [new.name.as_str()], |row| {
        let (id, topic, kinds) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Row { id, topic, kinds, reads: row.get(3)?, topic_name: row.get(4)? })
    });
    found.optional()
}

/// A handler may have become a projection since, which needs its own record.
fn note_projection(db: &Connection, new: &NewSubscription, id: i64) -> rusqlite::Result<()> {
    let update = "UPDATE consign_subscription SET projects = ?2 WHERE id = ?1 AND projects <> ?2";
    db.execute(update, params![id, new.is_projection]).map(drop)
}

/// Says so where it comes back after so long that messages were removed before it read them.
fn say_missed(db: &Connection, new: &NewSubscription, id: i64, now: i64) -> rusqlite::Result<()> {
    let select = "SELECT coalesce(sum(c.missed), 0) FROM consign_subscription s
                  JOIN consign_cursor c ON c.subscription = s.id
                  WHERE s.id = ?1 AND s.named_at <= ?2";
    let given = [id, now - micros(RETIRED_AFTER)];
    let missed: i64 = db.query_row(select, given, |row| row.get(0))?;
    if missed > 0 {
        retention::warn_of_missed(new.name.as_str(), missed, true);
    }
    Ok(())
}

/// Writes that these subscriptions are still named by a process.
pub(crate) fn note_named(
    db: &Connection,
    subscriptions: &[SubscriptionId],
    now: i64,
) -> rusqlite::Result<()> {
    let update = "UPDATE consign_subscription SET named_at = ?2 WHERE id = ?1 AND named_at <= ?3";
    let mut update = db.prepare_cached(update)?;
    for of in subscriptions {
        update.execute([of.0, now, now - micros(NAMED_EVERY)])?;
    }
    Ok(())
}

fn create(
    db: &Connection,
    new: &NewSubscription,
    topic: TopicRow,
    named: BTreeSet<String>,
    now: i64,
) -> rusqlite::Result<Found> {
    // A number that was removed is not given again.
    let insert = "INSERT INTO consign_subscription (id, name, topic, kinds, reads, state, named_at, projects)
        SELECT 1 + max(coalesce((SELECT max(id) FROM consign_subscription), 0),
                coalesce((SELECT CAST(value AS INTEGER) FROM consign_meta
                          WHERE name = 'last_subscription'), 0)),
            ?1, ?2, ?3, ?4, 'new', ?5, ?6";
    let kinds = text(named.into_iter().collect());
    let (name, reads) = (new.name.as_str(), new.reads.as_str());
    db.execute(insert, params![name, topic.id, kinds, reads, now, new.is_projection])?;
    Ok(Found::Ready(SubscriptionId(db.last_insert_rowid())))
}

fn add_kinds(
    db: &Connection,
    id: i64,
    before: Vec<String>,
    named: BTreeSet<String>,
) -> rusqlite::Result<()> {
    let known = before.len();
    let union = named.into_iter().chain(before).collect::<BTreeSet<_>>();
    if union.len() > known {
        let update = "UPDATE consign_subscription SET kinds = ?2 WHERE id = ?1";
        db.execute(update, params![id, text(union.into_iter().collect())])?;
    }
    Ok(())
}

fn text(kinds: Vec<String>) -> String {
    serde_json::Value::from(kinds).to_string()
}

fn parse(kinds: &str) -> Vec<String> {
    serde_json::from_str(kinds).unwrap_or_default()
}

/// Asks whether somebody paused it, whether something is asked of it from outside, and whether its
/// read model is being built.
pub(crate) fn is_paused_or_asked(
    db: &Connection,
    of: SubscriptionId,
) -> rusqlite::Result<(bool, bool, bool)> {
    let select = "SELECT paused IS NOT NULL, EXISTS (SELECT 1 FROM consign_command
                      WHERE subscription = ?1 AND done_at IS NULL),
                      state <> 'running' OR rebuild IS 'asked'
                  FROM consign_subscription WHERE id = ?1";
    db.prepare_cached(select)?.query_row([of.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
}

/// The kinds on a subscription's row.
pub(crate) fn kinds(db: &Connection, of: SubscriptionId) -> rusqlite::Result<Vec<String>> {
    let select = "SELECT kinds FROM consign_subscription WHERE id = ?1";
    db.prepare_cached(select)?.query_row([of.0], |row| Ok(parse(row.get_ref(0)?.as_str()?)))
}

/// How far it has come.
pub(crate) fn progress(db: &Connection, of: SubscriptionId) -> rusqlite::Result<Progress> {
    let select = "SELECT CASE WHEN rebuild = 'asked' THEN rebuild ELSE state END, resume
                  FROM consign_subscription WHERE id = ?1";
    db.query_row(select, [of.0], |row| {
        let resume: Option<String> = row.get(1)?;
        Ok(match row.get_ref(0)?.as_str()? {
            "new" => Progress::New,
            "asked" => Progress::Rebuild,
            "backfilling" => Progress::Backfilling(Resume::at(resume.unwrap_or_default())),
            _ => Progress::Running,
        })
    })
}

/// Stores how far it has come; the first time it places the cursors, too.
pub(crate) fn place(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    cursors: &[(Partition, Offset)],
    to: &Progress,
    now: i64,
) -> rusqlite::Result<()> {
    let (state, resume) = match to {
        Progress::New | Progress::Rebuild => ("new", None),
        Progress::Backfilling(resume) => ("backfilling", Some(resume.as_str())),
        Progress::Running => ("running", None),
    };
    if progress(db, of)? == Progress::New {
        place_cursors(db, of, topic, cursors, now)?;
    }
    let update = "UPDATE consign_subscription SET state = ?2, resume = ?3,
                      rebuild = CASE WHEN ?2 <> 'running' THEN rebuild END WHERE id = ?1";
    db.execute(update, params![of.0, state, resume])?;
    Ok(())
}

fn place_cursors(
    db: &Connection,
    of: SubscriptionId,
    topic: TopicRow,
    cursors: &[(Partition, Offset)],
    now: i64,
) -> rusqlite::Result<()> {
    let insert = "INSERT INTO consign_cursor
                  (subscription, partition, next_offset, started_offset, passed, updated_at)
                  SELECT ?1, number, max(first_offset, ?3), max(first_offset, ?3),
                      max(first_offset, ?3), ?4 FROM consign_partition WHERE number = ?2";
    let mut insert = db.prepare(insert)?;
    for partition in (0..topic.partitions).map(Partition) {
        let placed = cursors.iter().find(|(of, _)| *of == partition);
        let next = placed.map_or(0, |(_, offset)| offset.0.cast_signed());
        insert.execute(params![of.0, topic.number(partition), next, now])?;
    }
    Ok(())
}
