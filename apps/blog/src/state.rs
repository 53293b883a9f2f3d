//! What every request handler is given.

use consign::sqlite::Consign;
use sqlx::SqlitePool;

use crate::failures::Failures;
use crate::passwords::Passwords;
use crate::ready::Ready;
use crate::stop::Stop;
use crate::web::Live;

/// The application's state; cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    /// For reading. Whatever writes begins at `consign`, which knows who waits for the write lock.
    pub(crate) db: SqlitePool,
    pub(crate) consign: Consign,
    pub(crate) passwords: Passwords,
    pub(crate) failures: Failures,
    pub(crate) ready: Ready,
    /// What open pages watch.
    pub(crate) live: Live,
    /// Says when event streams have to end.
    pub(crate) stop: Stop,
}

impl App {
    pub(crate) fn new(db: SqlitePool, consign: Consign, stop: Stop) -> Self {
        let (passwords, failures, ready, live) = Default::default();
        Self { db, consign, passwords, failures, ready, live, stop }
    }
}
