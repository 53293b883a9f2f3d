//! How messages end: what a verdict makes of them, and the transaction that writes it.

use super::engine::Engine;
use super::fate::Failure;
use super::item::Item;
use super::judge::{Blameless, judge};
use crate::handler::Handler;
use consign_core::{Driver, Fate, Order, QueueLedger, Result, Settle, Settled};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Messages that ended are settled after this long, or when there are so many, or when nothing else
/// is to be done.
pub(super) const SETTLE: (Duration, usize) = (Duration::from_millis(50), 100);

/// Something is away that the handlers need.
pub(super) struct Away(pub(super) String);

impl<L: QueueLedger, D: Driver, H: Handler<L::Connection>> Engine<L, D, H> {
    /// What becomes of a message whose handler failed; an error: it is not to blame.
    pub(super) fn judge(&mut self, item: &Item, failure: Failure) -> Result<Fate, Away> {
        let ledger = &*self.shared.ledger;
        let by = (&self.policy, &mut self.outages, &mut self.random);
        judge(ledger, by, item.failed(), failure).map_err(|Blameless { why, alike }| {
            for failed in alike.into_iter().flatten() {
                let place = (failed.partition, failed.offset);
                let mut blocked = self.blocked.iter_mut();
                if let Some((at, item)) = blocked.find(|(_, item)| item.place() == place) {
                    (*at, item.attempt) = (Instant::now(), failed.attempt);
                    continue;
                }
                self.holding.give_back(&failed, ledger.now(), self.policy.order.parks());
            }
            Away(why)
        })
    }

    /// Nobody's handler is called for a while.
    pub(super) fn is_away(&mut self, Away(why): Away) {
        let is_new = !self.outages.is_open();
        let wait = self.outages.failed(&why);
        let subscription = &self.subject.name;
        if is_new {
            tracing::error!(subscription, "it pauses, and counts no attempt: {why}");
        } else {
            tracing::warn!(subscription, "still away, one message tries again in {wait:?}: {why}");
        }
    }

    /// A message was applied.
    pub(super) fn succeeded(&mut self, item: &Item) {
        self.holding.end(item, None);
        self.holding.go_on(item);
        self.retries.succeeded(item);
        self.was_run(item);
        if let Some(outage) = self.outages.succeeded() {
            let subscription = &self.subject.name;
            tracing::info!(subscription, "it goes on after {outage:?}");
        }
    }

    /// A message was not applied, and this becomes of it.
    pub(super) fn failed(&mut self, item: &Item, fate: Fate) {
        let (subscription, id) = (&self.subject.name, item.envelope.id);
        match &fate {
            Fate::Dead { error, attempts, .. } => {
                tracing::error!(subscription, %id, attempts, "a dead letter: {error}");
            }
            fate => tracing::debug!(subscription, %id, ?fate, "a message was not applied"),
        }
        self.was_run(item);
        if let (Order::Block, Fate::Retry { attempt, due, .. }) = (self.policy.order, &fate) {
            let wait = due.duration_since(self.shared.ledger.now()).unwrap_or_default();
            self.holding.block(item);
            self.retries.ended(item);
            let item = Item { attempt: *attempt, ..item.clone() };
            return self.blocked.push((Instant::now() + wait, item));
        }
        self.holding.end(item, Some(fate));
        self.holding.go_on(item);
        self.retries.ended(item);
    }

    /// How it was to be run is of no interest any more.
    fn was_run(&mut self, item: &Item) {
        self.apart.remove(&item.place());
        self.alone.remove(&item.place());
    }

    /// A message was not run after all: it comes again, after others where its order allows it.
    pub(super) fn back(&mut self, item: Item) {
        self.give_attempt_back(&item);
        if item.is_again || item.leads {
            self.hand_back(item);
        } else {
            self.holding.put_first(item);
        }
    }

    /// A message was not run after all: it comes again, after what else is ready.
    pub(super) fn hand_back(&mut self, item: Item) {
        self.retries.ended(&item);
        self.holding.hand_back(item);
    }

    /// An attempt that was stored before it began does not count: nobody died of it.
    pub(super) fn give_attempt_back(&mut self, item: &Item) {
        if item.is_suspect {
            let fate = self.policy.still_suspect(item, self.shared.ledger.now());
            self.holding.note(item, fate);
        }
    }

    /// Before a message is run that may have killed its process, its attempt is stored; `None`: it
    /// is given up, or not ours.
    pub(super) async fn worth_it(&mut self, item: Item) -> Result<Option<Item>> {
        if !item.is_suspect {
            return Ok(Some(item));
        }
        let fate = self.policy.suspect(&item, self.shared.ledger.now());
        if matches!(fate, Fate::Dead { .. }) {
            self.failed(&item, fate);
            return Ok(None);
        }
        self.holding.note(&item, fate);
        let stored = self.try_settle().await;
        if let Ok(true) = stored {
            return Ok(Some(item));
        }
        self.give_attempt_back(&item);
        self.hand_back(item);
        stored.map(|_| None)
    }

    pub(super) async fn settle_in_time(&mut self) -> Result {
        let unsettled = self.holding.unsettled();
        if unsettled == 0 {
            self.unsettled = None;
            return Ok(());
        }
        let since = *self.unsettled.get_or_insert_with(Instant::now);
        let (after, most) = SETTLE;
        if H::FORM.tx || unsettled >= most || since.elapsed() >= after || self.is_idle() {
            self.settle().await?;
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.holding.is_idle() && self.retries.is_idle()
    }

    /// Writes what ended, in a transaction of its own.
    pub(super) async fn settle(&mut self) -> Result {
        self.try_settle().await.map(drop)
    }

    /// The same; `false`: nothing of it stands, since there is another owner, or other kinds.
    async fn try_settle(&mut self) -> Result<bool> {
        let settlement = self.holding.settlement();
        if settlement.is_empty() {
            self.holding.settled(&settlement, &[]);
            return Ok(true);
        }
        let ledger = Arc::clone(&self.shared.ledger);
        let begun = ledger.begin_for(self.subject.of, Self::PURPOSE);
        let tx = self.shared.stop.grace(begun).await?;
        let refused = self.write(tx, &settlement).await?;
        let is_written = refused.is_none();
        if let Some(refused) = refused {
            self.not_settled(refused);
        }
        Ok(is_written)
    }

    /// Settles and commits; else nothing of the transaction stands, and this is why.
    pub(super) async fn write(
        &mut self,
        mut tx: L::Transaction,
        settlement: &[Settle],
    ) -> Result<Option<Settled>> {
        let ledger = Arc::clone(&self.shared.ledger);
        let unparked = match ledger.settle(&mut tx, self.subject.of, settlement, &self.named).await
        {
            Ok(Settled::All(unparked)) => unparked,
            refused => {
                ledger.rollback(tx).await;
                return refused.map(Some);
            }
        };
        ledger.commit(tx).await?;
        self.unsettled = None;
        self.holding.settled(settlement, &unparked);
        self.retries.settled(settlement, ledger.now());
        Ok(None)
    }

    /// Another owner, or other kinds: nothing of the transaction stands.
    pub(super) fn not_settled(&mut self, settled: Settled) {
        match settled {
            Settled::All(_) => {}
            Settled::Fenced(partitions) => {
                let subscription = &self.subject.name;
                tracing::info!(subscription, ?partitions, "fenced: they have a new owner");
                self.holding.remove(&partitions);
            }
            Settled::Kinds(named) => {
                self.named = named.into();
                self.holding.read_all_again();
            }
        }
    }
}
