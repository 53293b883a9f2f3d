//! Requests first: how processes share SQLite's one write lock, with two lock files beside the
//! database.
//!
//! `-wait`: a process holds a shared lock on it while one of its requests waits for `BEGIN
//! IMMEDIATE` (see [`super::waiting`]). `-turn`: the worker whose turn it is, from before `BEGIN`
//! until after its rest (see [`super::turns`]). A worker begins only while nobody waits, or when it
//! has been put off for long enough.
//!
//! The gate is advice: it decides who waits, never what is correct. Every wait is bounded, and the
//! kernel frees the locks of a dead process.

#![expect(unsafe_code, reason = "SQLite's busy handler is a C function")]

use crate::error;
use consign_core::Result;
use libsqlite3_sys as ffi;
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::os::raw::{c_int, c_void};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How often SQLite's lock is tried (a timer adds about 55 µs).
pub(crate) const POLL: Duration = Duration::from_micros(100);
/// How long a request waits for the line and the lock together, at most.
pub(crate) const REQUEST_WAIT_MAX: Duration = Duration::from_secs(5);
/// A wait that lasts longer than this is tried more rarely.
const LONG_WAIT: Duration = Duration::from_millis(100);
const LONG_POLL: Duration = Duration::from_millis(1);

/// Opens a lock file beside the database.
pub(crate) fn open(database: &Path, tail: &str) -> Result<File> {
    let path = beside(database, tail);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    #[expect(clippy::disallowed_methods, reason = "a lock file, never the database")]
    options.open(&path).map_err(|source| error::of_io(&format!("open {}", path.display()), source))
}

/// The path of a file of ours beside the database.
pub(crate) fn beside(database: &Path, tail: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(tail);
    path.into()
}

/// Who waits when a connection meets the write lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Busy {
    /// SQLite itself, in fine and even steps: the same limit as a `busy_timeout`, without its ever
    /// longer sleeps, which give the lock to whoever has just let it go.
    Waits,
    /// Nobody: the caller asks the gate before it tries again.
    Fails,
}

/// Replaces `busy_timeout` on a connection; a later `PRAGMA busy_timeout` undoes it.
pub(crate) fn install_busy_handler(handle: &mut sqlx::sqlite::LockedSqliteHandle<'_>, busy: Busy) {
    let db = handle.as_raw_handle().as_ptr();
    match busy {
        // SAFETY: the guard keeps other threads away from the open connection; the handler has no
        // argument, so nothing has to outlive the connection.
        Busy::Waits => unsafe { ffi::sqlite3_busy_handler(db, Some(wait), std::ptr::null_mut()) },
        // SAFETY: as above.
        Busy::Fails => unsafe { ffi::sqlite3_busy_handler(db, None, std::ptr::null_mut()) },
    };
}

extern "C" fn wait(_: *mut c_void, count: c_int) -> c_int {
    // One connection's handler always runs on the thread that uses the connection.
    thread_local!(static SINCE: Cell<Option<Instant>> = const { Cell::new(None) });
    let now = Instant::now();
    if count == 0 {
        SINCE.set(Some(now));
    }
    let waited = now - SINCE.get().unwrap_or(now);
    if waited > REQUEST_WAIT_MAX {
        return 0;
    }
    thread::sleep(if waited < LONG_WAIT { POLL } else { LONG_POLL });
    1
}
