//! Our own tables, with a bookkeeping of their own beside the application's migrations.

use consign_core::{Error, Result};
use rusqlite::{Connection, OptionalExtension, params};

/// Numbered from 1, never edited.
const MIGRATIONS: [&str; 7] = [
    include_str!("../migrations/sqlite/0001_log.sql"),
    include_str!("../migrations/sqlite/0002_queue.sql"),
    include_str!("../migrations/sqlite/0003_schedule.sql"),
    include_str!("../migrations/sqlite/0004_rebuild.sql"),
    include_str!("../migrations/sqlite/0005_standstill.sql"),
    include_str!("../migrations/sqlite/0006_suspect.sql"),
    include_str!("../migrations/sqlite/0007_consumer.sql"),
];
/// The oldest schema whose library may work beside this one: one that knows no queue would read it
/// as a stream, over its done marks, and would bury a worker without a word of what it had in hand.
const MIN_READER: usize = 2;

/// What is there.
pub(crate) struct Found {
    version: usize,
    min_reader: usize,
}

/// Reads how far the schema is; 0 on a database that never saw consign.
pub(crate) fn found(db: &Connection) -> rusqlite::Result<Found> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'consign_meta'";
    let there = db.query_row(table, [], |_| Ok(())).optional()?.is_some();
    let number = |name: &str| -> rusqlite::Result<usize> {
        if !there {
            return Ok(0);
        }
        let select = "SELECT value FROM consign_meta WHERE name = ?1";
        let value: Option<String> = db.query_row(select, [name], |row| row.get(0)).optional()?;
        Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
    };
    Ok(Found { version: number("schema_version")?, min_reader: number("min_reader")? })
}

impl Found {
    pub(crate) fn is_current(&self) -> bool {
        self.version >= MIGRATIONS.len()
    }

    /// Refuses a schema that this library must not touch.
    pub(crate) fn check(&self) -> Result {
        if self.min_reader <= MIGRATIONS.len() {
            return Ok(());
        }
        let message = format!(
            "the database has the tables of a newer consign (schema {}), which this one (schema \
             {}) must not work on: upgrade this program",
            self.version,
            MIGRATIONS.len()
        );
        Err(Error::new("schema-too-new", message))
    }
}

/// Brings the tables up to date, in a transaction that holds the write lock.
pub(crate) fn migrate(db: &Connection) -> rusqlite::Result<()> {
    let found = found(db)?;
    if found.is_current() {
        return Ok(());
    }
    for migration in &MIGRATIONS[found.version..] {
        db.execute_batch(migration)?;
    }
    let set = "INSERT INTO consign_meta (name, value) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    db.execute(set, params!["schema_version", MIGRATIONS.len().to_string()])?;
    db.execute(set, params!["min_reader", MIN_READER.to_string()])?;
    Ok(())
}
