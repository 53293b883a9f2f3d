//! Our own statements of one step, in one hop: rusqlite on the handle of sqlx's connection.
//!
//! sqlx runs every statement on a thread of the connection's own, 20–50 µs a statement. What we
//! have to say in one go we say on the handle itself, while sqlx's thread stands back.

#![expect(unsafe_code, reason = "rusqlite borrows the handle that sqlx owns")]

use crate::error;
use consign_core::Result;
use libsqlite3_sys as ffi;
use sqlx::SqliteConnection;
use sqlx::sqlite::LockedSqliteHandle;
use std::ffi::{CStr, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};

/// So many steps of a statement are between two looks at whether it shall end.
const LOOK_EVERY_STEPS: i32 = 10_000;

/// Statements that a connection keeps prepared: ours, and those of the application's `run`.
const KEPT_MAX: usize = 128;

/// What a connection holds under this name is ours: a `rusqlite::Connection` on its own handle.
const KEPT: &CStr = c"consign-sql's prepared statements";

/// Runs a few short statements: on this thread, at once.
///
/// It may overtake a statement that sqlx's thread was told of and that nobody waited for, since its
/// caller has gone: that one's way out is `ROLLBACK` or `COMMIT` through sqlx, behind it.
pub(crate) async fn in_one_hop<T: Send>(
    connection: &mut SqliteConnection,
    doing: &str,
    statements: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send,
) -> Result<T> {
    let mut handle =
        connection.lock_handle().await.map_err(|source| error::of_sqlx(doing, source))?;
    let failed = |source| error::of_rusqlite(doing, source);
    if let Some(db) = kept(&mut handle) {
        return statements(db).map_err(failed);
    }
    // SAFETY: the guard keeps sqlx's thread away from the handle for as long as `db` lives, which
    // borrows the handle and does not close it; its statements are finalized with it.
    let db = unsafe { rusqlite::Connection::from_handle(handle.as_raw_handle().as_ptr()) };
    db.and_then(|db| statements(&db)).map_err(failed)
}

/// Lets a connection keep what `prepare_cached` prepares from one hop to the next. To be finalized
/// before the connection closes, or SQLite refuses to: see [`end_statements`].
pub(crate) async fn keep_statements(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut handle = connection.lock_handle().await?;
    let db = handle.as_raw_handle().as_ptr();
    // SAFETY: it is used by `kept` alone, and ends before the connection that it borrows.
    let Ok(kept) = (unsafe { rusqlite::Connection::from_handle(db) }) else { return Ok(()) };
    kept.set_prepared_statement_cache_capacity(KEPT_MAX);
    let kept = Box::into_raw(Box::new(kept)).cast();
    // SAFETY: the guard keeps other threads away from the open connection, which owns `kept` from
    // now on, even where this fails: `end` is called once, whatever happens.
    unsafe { ffi::sqlite3_set_clientdata(db, KEPT.as_ptr(), kept, Some(end)) };
    Ok(())
}

/// What the connection that is locked has kept, whichever that is: it is asked itself.
fn kept<'h>(handle: &'h mut LockedSqliteHandle<'_>) -> Option<&'h rusqlite::Connection> {
    // SAFETY: the guard keeps other threads away from the open connection, and from what it holds,
    // for as long as `handle` is borrowed; nobody else knows of it.
    unsafe {
        let db = handle.as_raw_handle().as_ptr();
        ffi::sqlite3_get_clientdata(db, KEPT.as_ptr()).cast::<rusqlite::Connection>().as_ref()
    }
}

/// Finalizes what a connection has kept.
///
/// # Safety
/// The connection is open, and nobody else uses it.
pub(super) unsafe fn end_statements(db: *mut ffi::sqlite3) {
    // SAFETY: the caller's; without data, `end` is called with what there was.
    unsafe { ffi::sqlite3_set_clientdata(db, KEPT.as_ptr(), std::ptr::null_mut(), None) };
}

unsafe extern "C" fn end(kept: *mut c_void) {
    // SAFETY: it was made by `keep_statements`, and is forgotten by SQLite as this returns.
    drop(unsafe { Box::from_raw(kept.cast::<rusqlite::Connection>()) });
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
