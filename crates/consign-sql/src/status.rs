//! How far each subscription is, read in O(partitions) and never by counting messages.

use crate::error;
use crate::publish::{OFFSET_BITS, micros};
use consign_core::{Clock, Result, SystemClock};
use sqlx::{Row, SqliteConnection};
use std::time::Duration;

/// The row at a cursor is the oldest message that is not passed.
const SELECT: &str = "SELECT s.name, t.name, s.state,
        sum(p.next_offset - coalesce(c.next_offset, p.first_offset)),
        s.reads, s.paused, coalesce(sum(c.waiting), 0), coalesce(sum(c.dead), 0),
        min((SELECT published_at FROM consign_log
             WHERE position = p.number << ?1 | coalesce(c.next_offset, p.first_offset))),
        group_concat(DISTINCT w.name)
    FROM consign_subscription s JOIN consign_topic t ON t.id = s.topic
    JOIN consign_partition p ON p.topic = s.topic
    LEFT JOIN consign_cursor c ON c.subscription = s.id AND c.partition = p.number
    LEFT JOIN consign_worker w ON w.id = c.owner AND w.alive_until > ?2
    GROUP BY s.id ORDER BY s.name";

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
    /// Messages that wait for their next attempt, or behind an earlier one of their key.
    pub waiting: u64,
    /// Messages that were given up.
    pub dead: u64,
    /// The processes that own a partition.
    pub owners: Vec<u32>,
    /// Why somebody paused it.
    pub paused: Option<String>,
}

/// Reads the status of all subscriptions, as this connection's transaction sees it.
///
/// # Errors
/// What SQLite says.
pub async fn subscriptions(connection: &mut SqliteConnection) -> Result<Vec<SubscriptionStatus>> {
    let now = micros(SystemClock.now());
    let rows = sqlx::query(SELECT).bind(OFFSET_BITS).bind(now).fetch_all(connection).await;
    let rows = rows.map_err(|source| error::of_sqlx("look at the subscriptions", source))?;
    Ok(rows.iter().map(|row| status(row, now)).collect())
}

fn status(row: &sqlx::sqlite::SqliteRow, now: i64) -> SubscriptionStatus {
    let state: String = row.get(2);
    let least = u64::from(state != "running");
    let oldest: Option<i64> = row.get(8);
    SubscriptionStatus {
        name: row.get(0),
        topic: row.get(1),
        reads: row.get(4),
        lag: unsigned(row.get(3)).max(least),
        oldest: oldest.map(|published_at| Duration::from_micros(unsigned(now - published_at))),
        waiting: unsigned(row.get(6)),
        dead: unsigned(row.get(7)),
        owners: row.get::<Option<String>, _>(9).map_or_else(Vec::new, |names| processes(&names)),
        paused: row.get(5),
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The process ids in names like `pid 17,pid 4`.
fn processes(names: &str) -> Vec<u32> {
    let ids = names.split(',').filter_map(|name| name.strip_prefix("pid ")?.parse().ok());
    let mut ids = ids.collect::<Vec<u32>>();
    ids.sort_unstable();
    ids
}
