//! A transaction of ours ends when we end it, and not otherwise.
//!
//! A projection's or a request's SQL can end the transaction under us: a raw `COMMIT`, `ROLLBACK;
//! BEGIN`, `INSERT OR ROLLBACK`, `RAISE(ROLLBACK)`, a full disk. What follows would commit by
//! itself, the effect without its cursor. So every commit that we did not ask for is refused, and
//! every rollback that we did not ask for is remembered.

use sqlx::SqliteConnection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the hooks of one write connection know.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    asked: AtomicBool,
    unasked: AtomicBool,
}

impl Ending {
    /// Installs the hooks; they replace any that the user's pool has set on this connection.
    pub(crate) async fn watch(connection: &mut SqliteConnection) -> sqlx::Result<Arc<Self>> {
        let ending = Arc::new(Self::default());
        let (commit, rollback) = (Arc::clone(&ending), Arc::clone(&ending));
        let mut handle = connection.lock_handle().await?;
        handle.set_commit_hook(move || commit.is_asked());
        handle.set_rollback_hook(move || rollback.rolled_back());
        drop(handle);
        Ok(ending)
    }

    /// From now on an end is what we want.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// A transaction begins, or has ended as it should.
    pub(crate) fn reset(&self) {
        self.asked.store(false, Ordering::SeqCst);
        self.unasked.store(false, Ordering::SeqCst);
    }

    /// Somebody else ended the transaction.
    pub(crate) fn is_unasked(&self) -> bool {
        self.unasked.load(Ordering::SeqCst)
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    fn rolled_back(&self) {
        if !self.is_asked() {
            self.unasked.store(true, Ordering::SeqCst);
        }
    }
}
