//! What is in the log of a topic, all of it: for tests, whose logs are short.

use crate::due::envelope;
use crate::handle::Log;
use crate::sqlite::thread::in_one_long_hop;
use consign_core::{Envelope, Result, Topic};

/// As they were published: ids grow.
const ALL: &str = "SELECT l.id, l.kind, l.version, l.key, l.headers, l.payload, l.published_at
    FROM consign_topic t JOIN consign_partition p ON p.topic = t.id
    JOIN consign_log l ON l.position >= p.number << ?2 AND l.position < (p.number + 1) << ?2
    WHERE t.name = ?1 ORDER BY l.id";

impl Log {
    /// The messages of a topic that are in the log now, as they were published.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn published(&self, topic: &Topic) -> Result<Vec<Envelope>> {
        let mut reads = self.open_reads().await?;
        in_one_long_hop(&mut reads, "read the log", |db| {
            let mut select = db.prepare(ALL)?;
            let given = rusqlite::params![topic.as_str(), crate::publish::OFFSET_BITS];
            select.query_map(given, |row| envelope(row, 0))?.collect()
        })
        .await
    }
}
