//! Our own statements of one step, in one hop: rusqlite on the handle of sqlx's connection.
//!
//! sqlx runs every statement on a thread of the connection's own, 20–50 µs a statement. What we
//! have to say in one go we say on the handle itself, while sqlx's thread stands back.

#![expect(unsafe_code, reason = "rusqlite borrows the handle that sqlx owns")]

use crate::error;
use consign_core::Result;
use sqlx::SqliteConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};

/// So many steps of a statement are between two looks at whether it shall end.
const LOOK_EVERY_STEPS: i32 = 10_000;

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

/// Ends the statement that runs on a connection, from any thread, at any time.
///
/// SQLite asks now and then whether to go on: unlike `sqlite3_interrupt`, which needs a handle that
/// is still open, that is safe even when the connection is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// Takes the place of a progress handler that the user's pool has set on this connection.
    pub(crate) async fn install(connection: &mut SqliteConnection) -> Result<Self> {
        let cut = Self::default();
        let asked = Arc::clone(&cut.0);
        let handle = connection.lock_handle().await;
        let mut handle = handle.map_err(|source| error::of_sqlx("watch a connection", source))?;
        handle.set_progress_handler(LOOK_EVERY_STEPS, move || !asked.load(Ordering::Relaxed));
        Ok(cut)
    }

    /// What runs ends, and so does every long statement that follows.
    pub(crate) fn cut(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Statements run to their end again.
    pub(crate) fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
