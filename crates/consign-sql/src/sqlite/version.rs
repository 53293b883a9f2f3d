//! Which SQLite is linked.

use consign_core::{Error, Result};

/// Older ones may corrupt a WAL database that several connections write (3.7.0 – 3.51.2,
/// <https://sqlite.org/wal.html#walresetbug>).
const OLDEST: i32 = 3_051_003;

/// Refuses a linked SQLite that is too old.
pub(crate) fn check() -> Result {
    let found = rusqlite::version_number();
    if found >= OLDEST {
        return Ok(());
    }
    let message = format!(
        "SQLite {} is linked, and before 3.51.3 a WAL database with several writers may be \
         corrupted: depend on `libsqlite3-sys = \"0.37\"` with the feature `bundled`",
        rusqlite::version()
    );
    Err(Error::new("sqlite-too-old", message))
}
