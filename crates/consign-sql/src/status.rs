//! How far each subscription is, read in O(partitions) and never by counting messages.

use crate::error;
use consign_core::Result;
use sqlx::{Row, SqliteConnection};

const SELECT: &str = "SELECT s.name, t.name, s.state,
        sum(p.next_offset - coalesce(c.next_offset, p.first_offset))
    FROM consign_subscription s JOIN consign_topic t ON t.id = s.topic
    JOIN consign_partition p ON p.topic = s.topic
    LEFT JOIN consign_cursor c ON c.subscription = s.id AND c.partition = p.number
    GROUP BY s.id ORDER BY s.name";

/// A subscription as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// Its name.
    pub name: String,
    /// The topic it reads.
    pub topic: String,
    /// Messages that it has not yet passed, over all partitions; at least 1 while a backfill is not
    /// done and before the first cursor. Messages of kinds that it skips count until they are
    /// passed.
    pub lag: u64,
}

/// Reads the status of all subscriptions, as this connection's transaction sees it.
///
/// # Errors
/// What SQLite says.
pub async fn subscriptions(connection: &mut SqliteConnection) -> Result<Vec<SubscriptionStatus>> {
    let rows = sqlx::query(SELECT).fetch_all(connection).await;
    let rows = rows.map_err(|source| error::of_sqlx("look at the subscriptions", source))?;
    Ok(rows.iter().map(status).collect())
}

fn status(row: &sqlx::sqlite::SqliteRow) -> SubscriptionStatus {
    let (state, waiting): (String, i64) = (row.get(2), row.get(3));
    let least = u64::from(state != "running");
    let lag = u64::try_from(waiting).unwrap_or(0).max(least);
    SubscriptionStatus { name: row.get(0), topic: row.get(1), lag }
}
