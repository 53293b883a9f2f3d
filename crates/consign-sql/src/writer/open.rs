//! A worker's open transaction: how it ends, and what follows in its turn.

use super::{Slot, TRY_EVERY, Writer, begin};
use crate::connection::WriteConnection;
use crate::sqlite::thread::blocking;
use crate::sqlite::turns::Turn;
use consign_core::Result;
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;

/// Dropped while its transaction is open, it closes the connection, and the transaction with it.
#[derive(Debug)]
pub(super) struct Open {
    /// Ends before another worker of this process can ask for one.
    pub(super) turn: Turn,
    pub(super) slot: OwnedMutexGuard<Slot>,
    pub(super) begun: Instant,
    /// Neither committed nor rolled back.
    pub(super) unended: bool,
}

impl Open {
    pub(super) fn writer(&mut self) -> &mut Writer {
        self.slot.writer.as_mut().expect("a transaction has its connection until it ends")
    }

    pub(super) fn connection(&self) -> &WriteConnection {
        let writer = self.slot.writer.as_ref();
        &writer.expect("a transaction has its connection until it ends").connection
    }

    /// A statement that still runs, since its caller has lost his patience, ends before.
    pub(super) async fn rollback(mut self) {
        self.writer().cut.cut();
        self.roll_back().await;
    }

    async fn roll_back(&mut self) {
        match self.writer().connection.rollback().await {
            Ok(()) => self.unended = false,
            Err(_) => self.replace().await,
        }
    }

    /// A connection whose transaction did not end as asked is closed, and the next one is new.
    pub(super) async fn replace(&mut self) {
        self.unended = false;
        if let Some(writer) = self.slot.writer.take() {
            writer.connection.close().await;
        }
    }

    /// Still in the turn, no longer under the lock: copies pages, syncs, and rests for the requests.
    pub(super) async fn rest(mut self, held: Duration) {
        let ended = Instant::now();
        if let Err(error) = self.checkpoint().await {
            tracing::warn!(%error, "a checkpoint failed; the next turn tries again");
        }
        self.turn.note_waiting();
        if self.turn.others_recently() && self.slot.writer.is_some() {
            self.sync();
            tokio::task::yield_now().await;
            let rest = self.writer().costs.rest(held);
            tokio::time::sleep(rest.saturating_sub(ended.elapsed())).await;
        }
        self.turn.end();
        if !self.turn.alone {
            // The next one in the queue has the turn before we stand in it again.
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    async fn checkpoint(&mut self) -> Result {
        let writer = self.slot.writer.as_mut().expect("it committed");
        let due = writer.costs.passive_pages();
        let Some(left) = writer.checkpoints.run(due).await? else { return Ok(()) };
        if !left.wants_restart() {
            return Ok(());
        }
        // What requests committed meanwhile is copied under the write lock; the next writer then
        // starts the WAL again, unless somebody reads it.
        begin(&mut writer.connection, &mut self.turn).await?;
        self.unended = true;
        let copied = writer.checkpoints.passive().await;
        self.roll_back().await;
        copied.map(drop)
    }

    /// Or the next request's COMMIT has to write our pages out.
    fn sync(&mut self) {
        let writer = self.writer();
        let started = Instant::now();
        if blocking(|| writer.wal.sync_data()).is_ok() {
            writer.costs.synced(started.elapsed());
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.unended
            && let Some(writer) = self.slot.writer.take()
        {
            writer.cut.cut();
        }
    }
}
