//! Foreign errors become ours here, by named functions, so that no dependency leaks.

use consign_core::Error;
use sqlx::error::DatabaseError;

const BUSY: i32 = 5;
const FULL: i32 = 13;
const BUSY_SNAPSHOT: i32 = 517;

/// An error of a statement that went through sqlx.
pub(crate) fn of_sqlx(doing: &str, error: sqlx::Error) -> Error {
    let code = error
        .as_database_error()
        .and_then(DatabaseError::code)
        .and_then(|code| code.parse::<i32>().ok());
    named(doing, code, &error).caused_by(error)
}

/// An error of a statement that ran on the handle itself.
pub(crate) fn of_rusqlite(doing: &str, error: rusqlite::Error) -> Error {
    let code = error.sqlite_error().map(|error| error.extended_code);
    named(doing, code, &error).caused_by(error)
}

/// An error of a lock file.
pub(crate) fn of_io(doing: &str, error: std::io::Error) -> Error {
    Error::new("io", format!("cannot {doing}: {error}")).caused_by(error)
}

fn named(doing: &str, extended: Option<i32>, error: &dyn std::fmt::Display) -> Error {
    match extended {
        Some(BUSY_SNAPSHOT) => Error::new(
            "stale-snapshot",
            format!(
                "cannot {doing}: this transaction read before somebody else wrote, so it can no \
                 longer write; begin it with `BEGIN IMMEDIATE` \
                 (`pool.begin_with(\"BEGIN IMMEDIATE\")`, or `consign.begin()`)"
            ),
        ),
        Some(code) if code & 0xff == BUSY => Error::new(
            Error::BUSY,
            format!("cannot {doing}: another process or connection holds the write lock"),
        ),
        Some(code) if code & 0xff == FULL => {
            Error::new(Error::FULL, format!("cannot {doing}: the disk is full"))
        }
        _ => Error::new("database", format!("cannot {doing}: {error}")),
    }
}

/// Asks whether a statement failed because somebody else holds the write lock.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == BUSY)
}
