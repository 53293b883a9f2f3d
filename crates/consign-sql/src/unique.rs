//! Names that one message of a kind may hold: looked at by publishers alone.
//!
//! Whether a subscription has handled the message that holds a name is read from its cursor, its
//! done marks and what waits, so that no worker writes for it.

use crate::publish::{OFFSET_BITS, OFFSET_MAX, micros};
use crate::topics::TopicRow;
use consign_core::{Draft, Key, MessageId, Until};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// A name that is held until somebody has handled its message is looked at so often, at most.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Names that are looked at whenever one is taken: more than one, so that those that are free go.
const LOOKS: i64 = 3;

pub(crate) const FIND: &str = "SELECT id, position, subscription, look_at FROM consign_unique
    WHERE topic = ?1 AND kind = ?2 AND name = ?3";
const TAKE: &str = "INSERT OR REPLACE INTO consign_unique
    (topic, kind, name, id, subscription, look_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const PLACE: &str = "UPDATE consign_unique SET position = ?5
    WHERE topic = ?1 AND kind = ?2 AND name = ?3 AND id = ?4";
pub(crate) const OLD: &str = "SELECT id, position, subscription, look_at, topic, kind, name
    FROM consign_unique WHERE look_at <= ?1 ORDER BY look_at LIMIT ?2";
const FREE: &str = "DELETE FROM consign_unique WHERE topic = ?1 AND kind = ?2 AND name = ?3";
const LATER: &str =
    "UPDATE consign_unique SET look_at = ?4 WHERE topic = ?1 AND kind = ?2 AND name = ?3";
/// It is passed or marked, and no row waits in its stead.
pub(crate) const IS_HANDLED: &str = "SELECT NOT EXISTS (SELECT 1 FROM consign_retry retry
          WHERE retry.subscription = s.id AND retry.partition = ?2 AND retry.log_offset = ?3)
        AND (c.next_offset > ?3 OR EXISTS (SELECT 1 FROM consign_done done
          WHERE done.subscription = s.id AND done.partition = ?2 AND done.log_offset = ?3))
    FROM consign_subscription s
    JOIN consign_cursor c ON c.subscription = s.id AND c.partition = ?2 WHERE s.name = ?1";

/// A name of a kind of a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder<'a> {
    topic: i64,
    kind: &'a str,
    name: &'a Key,
}

/// Who holds a name.
struct Held {
    id: MessageId,
    position: Option<i64>,
    subscription: Option<String>,
    look_at: i64,
}

/// Takes the name of a unique message; answers who holds it, if somebody does.
pub(crate) fn take(
    db: &Connection,
    topic: TopicRow,
    draft: &Draft,
    id: MessageId,
    now: SystemTime,
) -> rusqlite::Result<Option<MessageId>> {
    let Some(unique) = &draft.unique else { return Ok(None) };
    let holder = Holder::of(topic, draft.kind.name, &unique.name);
    if let Some(held) = holder.find(db)?
        && !held.is_free(db, micros(now))?
    {
        return Ok(Some(held.id));
    }
    let (subscription, look_at) = match &unique.until {
        Until::Passed(window) => (None, now.checked_add(*window).map_or(i64::MAX, micros)),
        Until::HandledBy(name) => (Some(name.as_str()), micros(now + LOOK_EVERY)),
    };
    let Holder { topic, kind, name } = holder;
    let row = params![topic, kind, name.as_bytes(), id.0.as_bytes(), subscription, look_at];
    db.prepare_cached(TAKE)?.execute(row)?;
    forget_some(db, micros(now))?;
    Ok(None)
}

impl<'a> Holder<'a> {
    pub(crate) fn of(topic: TopicRow, kind: &'a str, name: &'a Key) -> Self {
        Self { topic: topic.id, kind, name }
    }

    fn find(self, db: &Connection) -> rusqlite::Result<Option<Held>> {
        let mut select = db.prepare_cached(FIND)?;
        let found = params![self.topic, self.kind, self.name.as_bytes()];
        select.query_row(found, Held::read).optional()
    }

    /// Says where the message that holds the name lies in the log.
    pub(crate) fn place(
        self,
        db: &Connection,
        id: MessageId,
        position: i64,
    ) -> rusqlite::Result<()> {
        let Self { topic, kind, name } = self;
        let place = params![topic, kind, name.as_bytes(), id.0.as_bytes(), position];
        db.prepare_cached(PLACE)?.execute(place).map(drop)
    }
}

impl Held {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: MessageId(Uuid::from_slice(row.get_ref(0)?.as_blob()?).unwrap_or_default()),
            position: row.get(1)?,
            subscription: row.get(2)?,
            look_at: row.get(3)?,
        })
    }

    fn is_free(&self, db: &Connection, now: i64) -> rusqlite::Result<bool> {
        let Some(subscription) = &self.subscription else { return Ok(self.look_at <= now) };
        let Some(position) = self.position else { return Ok(false) };
        let place = params![subscription, position >> OFFSET_BITS, position & OFFSET_MAX];
        let is_handled =
            db.prepare_cached(IS_HANDLED)?.query_row(place, |row| row.get(0)).optional()?;
        Ok(is_handled.unwrap_or(false))
    }
}

/// Forgets names that are free, a few whenever one is taken: there are never many more than are
/// held.
fn forget_some(db: &Connection, now: i64) -> rusqlite::Result<()> {
    let mut select = db.prepare_cached(OLD)?;
    let row = |row: &Row<'_>| {
        Ok((Held::read(row)?, (row.get(4)?, row.get::<_, String>(5)?, row.get::<_, Vec<u8>>(6)?)))
    };
    let old = select.query_map(params![now, LOOKS], row)?.collect::<rusqlite::Result<Vec<_>>>()?;
    for (held, (topic, kind, name)) in old {
        let topic: i64 = topic;
        if held.is_free(db, now)? {
            db.prepare_cached(FREE)?.execute(params![topic, kind, name])?;
        } else {
            let later = now + i64::try_from(LOOK_EVERY.as_micros()).unwrap_or(i64::MAX);
            db.prepare_cached(LATER)?.execute(params![topic, kind, name, later])?;
        }
    }
    Ok(())
}
