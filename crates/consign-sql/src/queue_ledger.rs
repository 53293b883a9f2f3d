//! How messages of a queue end in the application's database, as core's `QueueLedger`.

use crate::ledger::SqlLedger;
use crate::sqlite::thread::in_one_hop;
use crate::writer::WorkerTransaction;
use crate::{command, due, fault, owner, settle, standstill};
use consign_core::{
    BoxError, Due, Epoch, Fault, Partition, Purpose, QueueLedger, Result, Settle, Settled,
    Standstill, SubscriptionId, Unfinished,
};
use rusqlite::Connection;
use std::time::SystemTime;

impl QueueLedger for SqlLedger {
    async fn unfinished(
        &self,
        of: SubscriptionId,
        partitions: &[Partition],
    ) -> Result<Vec<Unfinished>> {
        let topic = self.topic(of);
        let look = |db: &Connection| settle::unfinished(db, of, topic, partitions);
        self.read("look at what is finished", look).await
    }

    async fn begin_for(&self, of: SubscriptionId, purpose: Purpose) -> Result<WorkerTransaction> {
        self.log().writers().begin_for(self.log(), of, purpose).await
    }

    async fn settle(
        &self,
        tx: &mut WorkerTransaction,
        of: SubscriptionId,
        parts: &[Settle],
        kinds: &[String],
    ) -> Result<Settled> {
        let (topic, now) = (self.topic(of), self.now_stored());
        let settle = |db: &Connection| settle::settle(db, of, topic, parts, kinds, now);
        let (settled, messages) = in_one_hop(tx, "settle messages", settle).await?;
        if messages > 0 {
            tx.takes(of, messages);
        }
        Ok(settled)
    }

    async fn due(&self, of: SubscriptionId, partitions: &[Partition], max: usize) -> Result<Due> {
        let (topic, now) = (self.topic(of), self.now_stored());
        let look = |db: &Connection| due::due(db, of, topic, partitions, max, now);
        self.read("look at what waits", look).await
    }

    async fn execute(
        &self,
        of: SubscriptionId,
        owned: &[(Partition, Epoch)],
    ) -> Result<Vec<Partition>> {
        let (topic, now) = (self.topic(of), self.now_stored());
        let look = |db: &Connection| command::pieces(db, of, topic, owned, now);
        let pieces = self.read("look what is asked for", look).await?;
        if pieces.is_empty() {
            return Ok(Vec::new());
        }
        let carry_out = |db: &Connection| command::carry_out(db, owned, pieces, now);
        let tx = self.begin_for(of, Purpose::Marks).await?;
        self.write_in(tx, "do what is asked for", carry_out).await
    }

    async fn stands_still(&self, of: SubscriptionId, changes: &[Standstill]) -> Result {
        let (topic, me, now) = (self.topic(of), self.me()?, self.now_stored());
        let write = |db: &Connection| standstill::write(db, of, topic, me, changes, now);
        self.write("say where it stands still", write).await
    }

    async fn consumer_restarts(&self, of: SubscriptionId) -> Result {
        let (me, now) = (self.me()?, self.now_stored());
        let write = |db: &Connection| owner::consumer_restarts(db, of, me, now);
        self.write("count a consumer that is built anew", write).await
    }

    fn fault(&self, error: &BoxError) -> Fault {
        fault::fault(error)
    }

    fn call_begins(&self, tx: &mut WorkerTransaction) {
        tx.call_begins();
    }

    async fn has_written(&self, tx: &mut WorkerTransaction) -> bool {
        tx.has_written().await
    }

    async fn save(&self, tx: &mut WorkerTransaction) -> Result {
        tx.save().await
    }

    async fn take_back(&self, tx: &mut WorkerTransaction) -> Result {
        tx.take_back().await
    }

    fn is_too_weak(&self, tx: &WorkerTransaction) -> bool {
        tx.is_too_weak()
    }

    fn now(&self) -> SystemTime {
        self.log().clock().now()
    }
}
