//! Whether a message is to blame for an error, or the database: one table of SQLite's codes.

use consign_core::{BoxError, Error, Fault};
use std::error::Error as StdError;
use std::io::ErrorKind;

/// Primary result codes of SQLite that say nothing of the message.
const CODES: [(i32, Fault); 9] = [
    (5, Fault::Outage),   // busy
    (6, Fault::Outage),   // locked
    (7, Fault::Outage),   // no memory
    (10, Fault::Outage),  // input or output failed
    (13, Fault::Outage),  // full
    (14, Fault::Outage),  // cannot be opened
    (3, Fault::Missing),  // a permission of the file
    (8, Fault::Missing),  // read only
    (23, Fault::Missing), // an authorizer says no
];
/// SQLite has no code for what a migration has yet to bring.
const MISSING: [&str; 3] = ["no such table: ", "no such column: ", "has no column named "];
const GENERIC: i32 = 1;

/// Looks at an error, and at all that it was caused by.
///
/// An error of another connection (a mail server that refuses) is the message's: it may be the
/// address of this one message. Where it is not, different keys fail with one fingerprint.
pub(crate) fn fault(error: &BoxError) -> Fault {
    let mut next: Option<&(dyn StdError + 'static)> = Some(&**error);
    while let Some(error) = next {
        if let Some(fault) = of(error) {
            return fault;
        }
        next = error.source();
    }
    Fault::Message
}

fn of(error: &(dyn StdError + 'static)) -> Option<Fault> {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return of_sqlx(error);
    }
    if let Some(error) = error.downcast_ref::<rusqlite::Error>() {
        let code = error.sqlite_error()?.extended_code;
        return of_sqlite(code, &error.to_string());
    }
    if let Some(error) = error.downcast_ref::<Error>() {
        let is_outage = error.is_retryable() || error.code() == Error::OUTAGE;
        return is_outage.then_some(Fault::Outage);
    }
    let error = error.downcast_ref::<std::io::Error>()?;
    let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    is_full.then_some(Fault::Outage)
}

fn of_sqlx(error: &sqlx::Error) -> Option<Fault> {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Some(Fault::Outage),
        sqlx::Error::Database(error) => {
            let code = error.code()?.parse().ok()?;
            of_sqlite(code, error.message())
        }
        _ => None,
    }
}

fn of_sqlite(extended: i32, message: &str) -> Option<Fault> {
    let primary = extended & 0xff;
    if primary == GENERIC && MISSING.iter().any(|missing| message.contains(missing)) {
        return Some(Fault::Missing);
    }
    CODES.iter().find(|(code, _)| *code == primary).map(|(_, fault)| fault.clone())
}
