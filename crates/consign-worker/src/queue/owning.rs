//! Which partitions a process owns for a queue, from the first cursor to the last hand-over.

use super::engine::Engine;
use super::item::Item;
use crate::handler::Handler;
use crate::ownership::{self, LOOK_EVERY, Plan, plan};
use crate::standstill::Causes;
use crate::subscription::Shared;
use consign_core::{Driver, Epoch, Partition, Progress, QueueLedger, Result, Standing};
use std::sync::Arc;
use tokio::time::Instant;

impl<L: QueueLedger, D: Driver, H: Handler<L::Connection>> Engine<L, D, H> {
    /// Places the first cursors: at the log's end, or at its start.
    pub(super) async fn place(&mut self) -> Result {
        let (ledger, of) = (&*self.shared.ledger, self.subject.of);
        let mut tx = self.shared.stop.grace(ledger.begin(of)).await?;
        if ledger.progress(&mut tx, of).await? != Progress::New {
            ledger.rollback(tx).await;
            return Ok(());
        }
        let ends =
            if self.options.from_start { Vec::new() } else { ledger.ends(&mut tx, of).await? };
        ledger.place(&mut tx, of, &ends, &Progress::Running).await?;
        ledger.commit(tx).await
    }

    /// Looks who is there and what is asked for, now and then, and sees to an even share.
    pub(super) async fn own(&mut self) -> Result {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let me = *self.shared.me.borrow();
        if std::mem::replace(&mut self.me, me) != me {
            let all = self.holding.partitions().collect::<Vec<_>>();
            self.holding.remove(&all);
            self.standstills.forget();
        }
        self.stands_still(self.causes()).await;
        let (ledger, of) = (Arc::clone(&self.shared.ledger), self.subject.of);
        let members = ledger.members(of).await?;
        if *members.kinds != *self.named {
            self.named = members.kinds.clone().into();
            self.holding.read_all_again();
        }
        self.is_paused = members.is_paused;
        if members.is_building && H::IS_PROJECTION {
            self.is_building = true;
            let all = self.holding.partitions().collect::<Vec<_>>();
            self.holding.remove(&all);
            return Ok(());
        }
        let mine = self.holding.staying();
        if members.is_asked {
            self.execute(&mine).await?;
        }
        let mine = self.holding.partitions().collect::<Vec<_>>();
        let Plan { lost, release, take } = plan(&members, me, &mine, self.limits.workers_max());
        self.holding.remove(&lost);
        self.holding.leave(&release);
        // Before anybody can have what is handed over.
        self.limits.share(&members, me, self.holding.staying().len());
        self.drop_blocked();
        self.hand_over().await?;
        if !take.is_empty() {
            self.take(&take).await?;
        }
        Ok(())
    }

    /// Executes what is asked for from outside.
    async fn execute(&mut self, mine: &[(Partition, Epoch)]) -> Result {
        // What has ended, and is not written, would be taken for what still waits.
        self.settle().await?;
        let (ledger, of) = (Arc::clone(&self.shared.ledger), self.subject.of);
        for found in ownership::execute(&*ledger, of, mine).await? {
            let mut blocked = self.blocked.iter();
            let is_blocked = blocked.any(|(_, item)| item.partition == found.partition);
            self.holding.changed_outside(found, is_blocked);
        }
        self.retries.look();
        Ok(())
    }

    /// What blocks a partition that is no longer ours, or is to be handed over, is run elsewhere.
    pub(super) fn drop_blocked(&mut self) {
        let holding = &mut self.holding;
        self.blocked.retain(|(_, item)| {
            let is_held = holding.holds(item);
            if !is_held {
                holding.drop_unstarted(item);
            }
            is_held
        });
    }

    /// Asks whether others wait for this message's next attempt.
    pub(super) fn blocks(&self, item: &Item) -> bool {
        self.blocked.iter().any(|(_, blocked)| blocked.place() == item.place())
    }

    fn causes(&self) -> Causes {
        let away = self.outages.why().map(|why| (Standing::All, why.to_owned()));
        let blocked = self.blocked.iter().map(|(_, item)| {
            let Item { partition, offset, attempt, envelope, .. } = item;
            let id = envelope.id;
            let why =
                format!("message {offset} ({id}) failed, attempt {attempt} comes before others");
            (Standing::Partition(*partition), why)
        });
        let waiting = self.holding.waiting();
        let waiting =
            waiting.map(|(partition, why)| (Standing::Partition(partition), why.to_owned()));
        let limit = self.limits.cause().map(|why| (Standing::Limit, why.to_owned()));
        away.into_iter().chain(limit).chain(blocked).chain(waiting).collect()
    }

    pub(super) async fn stands_still(&mut self, causes: Causes) {
        let Shared { ledger, stop, .. } = &self.shared;
        self.standstills.keep((&**ledger, self.subject.of, stop), causes).await;
    }

    /// Hands over what leaves, once nothing of it is in hand.
    async fn hand_over(&mut self) -> Result {
        let left = self.holding.left();
        if left.is_empty() {
            return Ok(());
        }
        self.settle().await?;
        self.shared.ledger.release(self.subject.of, &left).await?;
        self.holding.remove(&left);
        Ok(())
    }

    async fn take(&mut self, partitions: &[Partition]) -> Result {
        let (ledger, of) = (Arc::clone(&self.shared.ledger), self.subject.of);
        for (owned, found) in ownership::take(&*ledger, of, partitions).await? {
            self.holding.add(owned, found);
        }
        self.retries.look();
        Ok(())
    }

    /// Finishes what is in hand, settles it, and hands everything over.
    pub(super) async fn leave(&mut self) {
        self.finish_jobs().await;
        if let Err(error) = self.settle().await {
            let subscription = &self.subject.name;
            tracing::warn!(subscription, %error, "what was done last is not marked, and is done again");
        }
        let mine = self.holding.partitions().collect::<Vec<_>>();
        self.holding.remove(&mine);
        let (ledger, stop) = (&self.shared.ledger, &self.shared.stop);
        if !mine.is_empty()
            && let Err(error) = stop.grace(ledger.release(self.subject.of, &mine)).await
        {
            let subscription = &self.subject.name;
            tracing::warn!(subscription, %error, "partitions are not handed over");
        }
    }
}
