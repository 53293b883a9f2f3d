//! The database: one SQLite file in the data directory.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection, SqlitePool};

use crate::BoxError;
use crate::problem::sqlite_code;

/// Numbered from 1; each one ends by setting `user_version` to its number.
const MIGRATIONS: [&str; 1] = [include_str!("../migrations/0001_blog.sql")];

const LOCKED_MAX: Duration = Duration::from_secs(5);
const OPENING_MAX: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const READERS_MAX: u32 = 8;
const READER_WAIT_MAX: Duration = Duration::from_secs(5);

const SQLITE_BUSY: i32 = 5;

/// Opens `blog.db` in `data`, making and migrating what is missing.
///
/// # Errors
/// A sentence that names the file: it cannot be made or read, or a newer program made it.
pub(crate) async fn open(data: &Path) -> Result<SqlitePool, BoxError> {
    let file = data.join("blog.db");
    let cannot = |error: BoxError| format!("cannot open {}: {error}", file.display());
    create(data, &file).map_err(|error| cannot(error.into()))?;
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(LOCKED_MAX)
        .foreign_keys(true);
    let mut connection = connect(&options).await.map_err(|error| cannot(error.into()))?;
    migrate(&mut connection).await.map_err(cannot)?;
    connection.close().await?;
    let pool = SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .acquire_timeout(READER_WAIT_MAX)
        .connect_with(options);
    Ok(pool.await.map_err(|error| cannot(error.into()))?)
}

/// Makes what is missing, for nobody else to read. What is there keeps its mode.
#[expect(clippy::disallowed_methods, reason = "closed again before SQLite opens the file")]
fn create(data: &Path, file: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let empty = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    match empty {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Several processes may turn a new file into WAL at once; SQLite lets all but one fail, without waiting.
async fn connect(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    let deadline = Instant::now() + OPENING_MAX;
    loop {
        match SqliteConnection::connect_with(options).await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            other => return other,
        }
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    sqlite_code(error).is_some_and(|code| code & 0xff == SQLITE_BUSY)
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), BoxError> {
    if version(connection).await? == MIGRATIONS.len() {
        return Ok(());
    }
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    // Looked at again: another process may have migrated meanwhile.
    let found = version(&mut tx).await?;
    let known = MIGRATIONS.len();
    if found > known {
        return Err(format!(
            "its tables have version {found}, this program knows them up to {known}: run the \
             newer program that made it, or name another directory with --data"
        )
        .into());
    }
    for migration in &MIGRATIONS[found..] {
        sqlx::raw_sql(*migration).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn version(connection: &mut SqliteConnection) -> Result<usize, BoxError> {
    let version: i64 = sqlx::query_scalar("pragma user_version").fetch_one(connection).await?;
    Ok(usize::try_from(version)?)
}
