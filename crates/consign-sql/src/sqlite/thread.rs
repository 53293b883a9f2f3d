//! Our own statements of one step, in one hop: rusqlite on the handle of sqlx's connection.
//!
//! sqlx runs every statement on a thread of the connection's own, 20–50 µs a statement. What we
//! have to say in one go we say on the handle itself, while sqlx's thread stands back.

#![expect(unsafe_code, reason = "rusqlite borrows the handle that sqlx owns")]

use crate::error;
use consign_core::Result;
use sqlx::SqliteConnection;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs a few short statements: on this thread, at once.
pub(crate) async fn in_one_hop<T: Send>(
    connection: &mut SqliteConnection,
    doing: &str,
    statements: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send,
) -> Result<T> {
    let mut handle =
        connection.lock_handle().await.map_err(|source| error::of_sqlx(doing, source))?;
    // SAFETY: the guard keeps sqlx's thread away from the handle for as long as `db` lives, which
    // borrows the handle and does not close it; its statements are finalized with it.
    let db = unsafe { rusqlite::Connection::from_handle(handle.as_raw_handle().as_ptr().cast()) };
    db.and_then(|db| statements(&db)).map_err(|source| error::of_rusqlite(doing, source))
}

/// The same for what may last a millisecond or more: other tasks of the runtime go on meanwhile.
pub(crate) async fn in_one_long_hop<T: Send>(
    connection: &mut SqliteConnection,
    doing: &str,
    statements: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send,
) -> Result<T> {
    let done = in_one_hop(connection, doing, |db| blocking(|| statements(db))).await;
    // A task whose runtime ended meanwhile is dropped here; its next timer would panic.
    tokio::task::yield_now().await;
    done
}

/// Says to the runtime that this thread will be busy for a while.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    if flavor.is_ok_and(|flavor| flavor == RuntimeFlavor::MultiThread) {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}
