//! What SQLite knows of the transaction that is open on a connection, and nobody else does.

#![expect(unsafe_code, reason = "rusqlite does not ask SQLite for these")]

use crate::sqlite::thread::end_statements;
use libsqlite3_sys as ffi;
use rusqlite::Connection;
use sqlx::SqliteConnection;
use std::ffi::CStr;
use std::os::raw::{c_int, c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks whether the open transaction has the write lock.
pub(crate) fn is_writing(db: &Connection) -> bool {
    // SAFETY: the handle is open for as long as `db` is borrowed, on this thread.
    let state = unsafe { ffi::sqlite3_txn_state(db.handle(), c"main".as_ptr()) };
    state == ffi::SQLITE_TXN_WRITE
}

/// Asks whether a COMMIT would fail for a foreign key, which was deferred until then.
pub(crate) fn breaks_a_foreign_key(db: &Connection) -> bool {
    let (mut broken, mut unused): (c_int, c_int) = (0, 0);
    let asked = ffi::SQLITE_DBSTATUS_DEFERRED_FKS;
    // SAFETY: the handle is open for as long as `db` is borrowed, on this thread; the numbers
    // outlive the call.
    unsafe { ffi::sqlite3_db_status(db.handle(), asked, &raw mut broken, &raw mut unused, 0) };
    broken != 0
}

/// Asks whether what was last said to SQLite failed with the disk full.
pub(crate) fn is_full(db: &Connection) -> bool {
    // SAFETY: the handle is open for as long as `db` is borrowed, on this thread.
    unsafe { ffi::sqlite3_errcode(db.handle()) == ffi::SQLITE_FULL }
}

/// Knows whether a savepoint may have been rolled back, or something written: SQLite has no hook
/// for that, so it is heard from the statements as they run.
#[derive(Debug, Default)]
pub(crate) struct Rewound {
    rewound: AtomicBool,
    written: AtomicBool,
}

impl Rewound {
    /// Listens to all statements of a connection; whoever listened before no longer does.
    pub(crate) async fn watch(connection: &mut SqliteConnection) -> sqlx::Result<Arc<Self>> {
        Self::listen(connection, ffi::SQLITE_TRACE_STMT | ffi::SQLITE_TRACE_CLOSE).await
    }

    /// Listens for nothing but the connection's end, which ends the statements that it has kept.
    pub(crate) async fn watch_end(connection: &mut SqliteConnection) -> sqlx::Result<()> {
        Self::listen(connection, ffi::SQLITE_TRACE_CLOSE).await.map(drop)
    }

    async fn listen(connection: &mut SqliteConnection, events: c_uint) -> sqlx::Result<Arc<Self>> {
        let rewound = Arc::new(Self::default());
        let mut handle = connection.lock_handle().await?;
        let context = Arc::into_raw(Arc::clone(&rewound)).cast_mut().cast();
        // SAFETY: the guard keeps other threads away from the open connection; `context` lives
        // until the connection says that it closes.
        unsafe {
            ffi::sqlite3_trace_v2(handle.as_raw_handle().as_ptr(), events, Some(heard), context)
        };
        drop(handle);
        Ok(rewound)
    }

    /// A request begins.
    pub(crate) fn reset(&self) {
        self.rewound.store(false, Ordering::SeqCst);
    }

    /// Asks whether what was written since may have been taken back in part.
    pub(crate) fn is_rewound(&self) -> bool {
        self.rewound.load(Ordering::SeqCst)
    }

    /// Asks whether a statement that may write has begun to run since it was last forgotten.
    pub(crate) fn has_written(&self) -> bool {
        self.written.load(Ordering::SeqCst)
    }

    /// What was written until now is of no interest.
    pub(crate) fn forget_written(&self) {
        self.written.store(false, Ordering::SeqCst);
    }
}

unsafe extern "C" fn heard(
    event: c_uint,
    context: *mut c_void,
    of: *mut c_void,
    _: *mut c_void,
) -> c_int {
    if event == ffi::SQLITE_TRACE_CLOSE {
        // SAFETY: `of` is the connection, which is still open, and which nobody uses who is not
        // closing it. It says nothing any more, so this is the one time that the count taken in
        // `watch` is given back.
        unsafe {
            end_statements(of.cast());
            ffi::sqlite3_trace_v2(of.cast(), 0, None, std::ptr::null_mut());
            drop(Arc::from_raw(context.cast::<Rewound>().cast_const()));
        }
        return 0;
    }
    // SAFETY: the connection is not closed yet, so the count taken in `watch` holds it.
    let heard = unsafe { &*context.cast::<Rewound>().cast_const() };
    // SAFETY: `of` is the statement that begins to run.
    if unsafe { ffi::sqlite3_stmt_readonly(of.cast()) } == 0 {
        heard.written.store(true, Ordering::SeqCst);
    }
    // SAFETY: as above; its text lives as long as it does.
    let text = unsafe { ffi::sqlite3_sql(of.cast()) };
    // SAFETY: as above; SQLite's texts end with a zero.
    if text.is_null() || may_rewind(unsafe { CStr::from_ptr(text) }.to_bytes()) {
        heard.rewound.store(true, Ordering::SeqCst);
    }
    0
}

/// A ROLLBACK, or what begins with a comment and may be one.
fn may_rewind(sql: &[u8]) -> bool {
    let start = sql.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b';');
    let Some(sql) = start.map(|start| &sql[start..]) else { return false };
    !sql[0].is_ascii_alphabetic()
        || sql.get(..8).is_some_and(|word| word.eq_ignore_ascii_case(b"rollback"))
}
