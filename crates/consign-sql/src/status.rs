//! How far each subscription is, read in O(partitions) and never by counting messages.

use crate::explain::{Facts, SubscriptionState};
use crate::owner::{self, Process};
use crate::publish::{OFFSET_BITS, micros};
use crate::sqlite::thread::in_one_long_hop;
use crate::standstill;
use consign_core::{Clock, Result, SystemClock};
use rusqlite::{Connection, Row, params};
use sqlx::SqliteConnection;
use std::time::{Duration, SystemTime};

/// The row at a cursor is the oldest message that is not passed.
const SELECT: &str = "SELECT s.id, s.name, t.name, s.reads,
        CASE WHEN s.rebuild IS 'asked' THEN s.rebuild ELSE s.state END, s.paused, s.paused_at,
        sum(p.next_offset - coalesce(c.next_offset, p.first_offset)),
        min((SELECT published_at FROM consign_log
             WHERE position = p.number << ?1 | coalesce(c.next_offset, p.first_offset))),
        max(c.updated_at), coalesce(sum(c.waiting), 0), coalesce(sum(c.dead), 0), t.scheduled,
        CASE WHEN t.scheduled > 0
            THEN (SELECT min(deliver_at) FROM consign_scheduled WHERE topic = t.id) END,
        s.restarts, coalesce(sum(c.missed), 0), s.named_at, s.rebuild_refused
    FROM consign_subscription s JOIN consign_topic t ON t.id = s.topic
    JOIN consign_partition p ON p.topic = s.topic
    LEFT JOIN consign_cursor c ON c.subscription = s.id AND c.partition = p.number
    GROUP BY s.id ORDER BY s.name";
const OWNERS: &str = "SELECT DISTINCT owner FROM consign_cursor
    WHERE subscription = ?1 AND owner IS NOT NULL";

/// A subscription as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// Its name.
    pub name: String,
    /// The topic it reads.
    pub topic: String,
    /// How: `queue` or `stream`.
    pub reads: String,
    /// Messages that it has not yet passed, over all partitions; at least 1 while a backfill is not
    /// done and before the first cursor. Messages of kinds that it skips count until they are
    /// passed.
    pub lag: u64,
    /// How old the oldest of them is.
    pub oldest: Option<Duration>,
    /// Messages that wait for their next attempt, behind an earlier one of their key, or in their
    /// topic until they are due.
    pub waiting: u64,
    /// Messages that were given up.
    pub dead: u64,
    /// The processes that own a partition.
    pub owners: Vec<u32>,
    /// The processes that stand by: others own all partitions.
    pub standing_by: Vec<u32>,
    /// Why somebody paused it.
    pub paused: Option<String>,
    /// Messages that were removed before it read them: no process had named it for a week.
    pub missed: u64,
    /// How often the watchdog has built a consumer of it anew, in whichever process, since one had
    /// died by a panic or did not move any more.
    pub restarts: u64,
    /// Whether it moves.
    pub state: SubscriptionState,
    /// The one cause why it does not move, or why messages of it wait; `None` while all is well.
    pub cause: Option<String>,
}

/// Reads the status of all subscriptions, as this connection's transaction sees it.
///
/// # Errors
/// What SQLite says.
pub async fn subscriptions(connection: &mut SqliteConnection) -> Result<Vec<SubscriptionStatus>> {
    at(connection, SystemClock.now()).await
}

/// The same, where it is `now`.
pub(crate) async fn at(
    connection: &mut SqliteConnection,
    now: SystemTime,
) -> Result<Vec<SubscriptionStatus>> {
    let now = micros(now);
    in_one_long_hop(connection, "look at the subscriptions", |db| all(db, now)).await
}

pub(crate) fn all(db: &Connection, now: i64) -> rusqlite::Result<Vec<SubscriptionStatus>> {
    let mut select = db.prepare_cached(SELECT)?;
    let rows =
        select.query_map([OFFSET_BITS], |row| Ok((row.get::<_, i64>(0)?, read(row, now)?)))?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let (processes, standstills) = (owner::living(db, now)?, standstill::all(db)?);
    let finish = |(of, (mut status, mut facts)): (i64, (SubscriptionStatus, Facts))| {
        let mine = processes.iter().filter(|process| process.subscriptions.contains(&of));
        let mine = mine.collect::<Vec<_>>();
        facts.is_anybody_alive = !mine.is_empty();
        // The first one; there is one WAL.
        facts.pinned = processes.iter().filter_map(|process| process.pinned).min();
        (status.owners, status.standing_by) = owners(db, of, &mine)?;
        facts.is_owned = !status.owners.is_empty();
        let lives = |of: &[u8]| mine.iter().any(|process| process.id == of);
        let standstills = standstills.iter().filter(|found| found.subscription == of);
        facts.standstills = standstills.filter(|found| lives(&found.worker)).collect();
        (status.state, status.cause) = facts.explain(db, of, now)?;
        Ok(status)
    };
    rows.into_iter().map(finish).collect()
}

fn read<'f>(row: &Row<'_>, now: i64) -> rusqlite::Result<(SubscriptionStatus, Facts<'f>)> {
    let state = row.get_ref(4)?.as_str()?;
    let is_placed = state == "running";
    let lag = row.get::<_, i64>(7)?.max(i64::from(!is_placed));
    let oldest: Option<i64> = row.get(8)?;
    let (in_ledger, scheduled): (i64, i64) = (row.get(10)?, row.get(12)?);
    let paused: Option<String> = row.get(5)?;
    let missed: i64 = row.get(15)?;
    let facts = Facts {
        is_placed,
        paused: paused
            .clone()
            .map(|why| Ok::<_, rusqlite::Error>((why, row.get(6)?)))
            .transpose()?,
        has_lag: lag > 0,
        oldest,
        moved_at: row.get(9)?,
        waits: in_ledger > 0,
        next_scheduled: row.get(13)?,
        missed,
        named_at: row.get(16)?,
        rebuild_refused: row.get(17)?,
        ..Facts::default()
    };
    let status = SubscriptionStatus {
        name: row.get(1)?,
        topic: row.get(2)?,
        reads: row.get(3)?,
        lag: unsigned(lag),
        oldest: oldest.map(|published_at| Duration::from_micros(unsigned(now - published_at))),
        waiting: unsigned(in_ledger + scheduled),
        dead: unsigned(row.get(11)?),
        owners: Vec::new(),
        standing_by: Vec::new(),
        paused,
        missed: unsigned(missed),
        restarts: unsigned(row.get(14)?),
        state: SubscriptionState::Idle,
        cause: None,
    };
    Ok((status, facts))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Those of its processes that own a partition, and those that do not.
fn owners(db: &Connection, of: i64, living: &[&Process]) -> rusqlite::Result<(Vec<u32>, Vec<u32>)> {
    let mut select = db.prepare_cached(OWNERS)?;
    let owners = select.query_map(params![of], |row| row.get::<_, Vec<u8>>(0))?;
    let owners = owners.collect::<rusqlite::Result<Vec<_>>>()?;
    let owns = |process: &&&Process| owners.contains(&process.id);
    let (owners, others) = living.iter().partition::<Vec<&&Process>, _>(owns);
    Ok((numbers(&owners), numbers(&others)))
}

fn numbers(processes: &[&&Process]) -> Vec<u32> {
    let mut numbers = processes.iter().filter_map(|process| process.pid).collect::<Vec<_>>();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
