//! The database that is measured on, opened as an application does, and by hand.

use crate::Result;
use consign::sqlite::Consign;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::path::Path;
use std::time::Duration;

/// Of the application: what requests write and workers count in.
pub(crate) const TABLES: &str = "
    create table if not exists articles (
        id integer primary key, author_id integer not null, body text not null) strict;
    create table if not exists author_counts (
        author_id integer primary key, articles integer not null) strict;";

/// Pages: what consign's requests have.
const AUTOCHECKPOINT: u32 = 16_000;

/// As an application has it: its own pool, and consign on it.
pub(crate) async fn open(path: &Path) -> Result<Consign> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
    sqlx::raw_sql(TABLES).execute(&pool).await?;
    Ok(Consign::open(&pool).await?)
}

/// By hand, with the same library; as consign's requests, it leaves checkpoints to others for long.
pub(crate) fn by_hand(path: &Path, synchronous: &str) -> Result<rusqlite::Connection> {
    let db = rusqlite::Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.set_prepared_statement_cache_capacity(64);
    let settings = format!(
        "pragma journal_mode = wal; pragma synchronous = {synchronous};
         pragma wal_autocheckpoint = {AUTOCHECKPOINT}"
    );
    db.execute_batch(&settings)?;
    Ok(db)
}

/// One number of the database.
pub(crate) fn number(db: &rusqlite::Connection, select: &str) -> Result<i64> {
    Ok(db.query_row(select, [], |row| row.get::<_, Option<i64>>(0))?.unwrap_or_default())
}

/// Refuses a result that is not what it must be: a wrong program is not fast.
pub(crate) fn verify(what: &str, found: i64, expected: i64) -> Result {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: {found} instead of {expected}").into())
}
