//! Handlers with a transaction: one after the other, many in one commit.
//!
//! SQLite has one writer, and what costs is not the commit but each hop to it. So handlers share a
//! transaction as long as all goes well. One that fails after it has written takes others back with
//! it, and they are run again: all of its group the first time, and for a while from then on those
//! since the last savepoint. It is run again too, in a savepoint of its own.

use super::call::call;
use super::ending::Away;
use super::engine::Engine;
use super::fate::{Failure, is_outage, text};
use super::item::Item;
use crate::effect::blamed;
use crate::handler::Handler;
use consign_core::{Driver, Error, Fate, Lent, QueueLedger, Result, Verdict};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Messages of a group, at most.
pub(super) const GROUP_MAX: usize = 50;
/// A group that holds the write lock for this long takes no further message.
const HOLD_MAX: Duration = Duration::from_micros(2_500);

/// Calls that share a transaction.
struct Group<T> {
    /// `None`: a handler has kept it.
    tx: Option<T>,
    begun: Instant,
    ran: Vec<Item>,
    /// So many of these stay when what follows is taken back; `None`: there is no savepoint.
    saved: Option<usize>,
}

/// Why nothing of a group stands.
enum Broken {
    /// This call failed after it had written, or took the transaction with it.
    By(Vec<Item>),
    /// The same, of a message that ran alone: this becomes of it.
    Alone(Box<(Item, Fate)>),
    /// Something is away.
    Away(Vec<Item>, Away),
    /// It has to be more durable.
    TooWeak(Vec<Item>),
    /// What was run before these, or the database, allowed no savepoint.
    Unsaved(Vec<Item>, Error),
}

impl<L: QueueLedger, D: Driver, H: Handler<L::Connection>> Engine<L, D, H> {
    /// Runs a group; `false`: there was nothing to run.
    pub(super) async fn group(&mut self) -> Result<bool> {
        if self.concurrency() == 0 {
            return Ok(false);
        }
        let Some(first) = self.next() else { return Ok(false) };
        let Some(first) = self.worth_it(first).await? else { return Ok(true) };
        let ledger = Arc::clone(&self.shared.ledger);
        let begun = ledger.begin_for(self.subject.of, Self::PURPOSE);
        let tx = match self.shared.stop.grace(begun).await {
            Ok(tx) => tx,
            Err(error) => {
                self.back(first);
                return Err(error);
            }
        };
        let (begun, ran) = (Instant::now(), Vec::new());
        let mut group = Group { tx: Some(tx), begun, ran, saved: None };
        match self.run_group(&mut group, first).await {
            Ok(()) => self.commit(group).await,
            Err(broken) => self.broken(group, broken).await?,
        }
        Ok(true)
    }

    async fn run_group(
        &mut self,
        group: &mut Group<L::Transaction>,
        first: Item,
    ) -> Result<(), Broken> {
        let mut next = Some(first);
        while let Some(item) = next.take() {
            let is_alone = self.runs_alone(&item);
            let items = if is_alone || !H::FORM.batch || self.runs_apart(&item) {
                vec![item]
            } else {
                self.batch(item)
            };
            if !is_alone && let Err(error) = self.save(group, &items).await {
                return Err(Broken::Unsaved(items, error));
            }
            self.run_one(group, items).await?;
            let is_over = is_alone || H::FORM.batch || group.begun.elapsed() >= HOLD_MAX;
            let most = self.group_max.min(GROUP_MAX);
            if is_over || group.ran.len() >= most || self.outages.is_open() {
                return Ok(());
            }
            next = self.next_of_group();
        }
        Ok(())
    }

    /// The next message, unless it is to be run alone.
    fn next_of_group(&mut self) -> Option<Item> {
        let item = self.next()?;
        if !(self.runs_alone(&item) || (H::FORM.batch && self.runs_apart(&item))) {
            return Some(item);
        }
        self.come_first(item);
        None
    }

    /// A message that was not begun is the next one.
    pub(super) fn come_first(&mut self, item: Item) {
        self.limits.give_back();
        if item.is_again {
            self.holding.let_go(&item);
            self.retries.put_first(item);
            // What is new had its turn just now.
            self.is_turn_of_log = true;
        } else {
            self.holding.put_first(item);
        }
    }

    /// It may kill the process, or has broken a transaction that held more than its own.
    fn runs_alone(&self, item: &Item) -> bool {
        item.is_suspect || self.alone.contains(&item.place())
    }

    /// What failed before is likely to fail again, and would take the others back with it.
    fn runs_apart(&self, item: &Item) -> bool {
        item.attempt > 1 || self.apart.contains(&item.place())
    }

    /// Sets a savepoint where a failure shall not take back what was run before.
    async fn save(&mut self, group: &mut Group<L::Transaction>, items: &[Item]) -> Result {
        let is_apart = self.runs_apart(&items[0]);
        let is_due = match group.saved {
            _ if H::FORM.batch => false,
            None => is_apart || self.stretch.is_limited(),
            Some(saved) => {
                let since = group.ran.len() - saved;
                since > 0 && (is_apart || self.stretch.is_full(since))
            }
        };
        if is_due {
            let ledger = Arc::clone(&self.shared.ledger);
            ledger.save(group.tx.as_mut().expect("it is lent no more")).await?;
            group.saved = Some(group.ran.len());
        }
        Ok(())
    }

    /// The messages of a call that takes several.
    fn batch(&mut self, first: Item) -> Vec<Item> {
        let most = self.shared.ledger.batch_max(self.subject.of).min(self.options.batch_max);
        let most = if self.outages.is_open() { 1 } else { most.min(self.group_max) };
        let mut items = vec![first];
        while items.len() < most && !items[0].is_again {
            // One call at a time: its messages of one key are in order.
            self.holding.go_on(&items[items.len() - 1]);
            let last = items.len() - 1;
            items[last].leads = false;
            match self.next_of_group() {
                Some(item) => items.push(item),
                None => break,
            }
        }
        items
    }

    /// Calls the handler once in the group's transaction.
    async fn run_one(
        &mut self,
        group: &mut Group<L::Transaction>,
        items: Vec<Item>,
    ) -> Result<(), Broken> {
        let ledger = Arc::clone(&self.shared.ledger);
        let mut tx = group.tx.take().expect("a group goes on with its transaction");
        ledger.call_begins(&mut tx);
        let (lent, guard) = Lent::lend(tx);
        let at = (ledger.now(), self.options.timeout);
        let called = call::<L::Connection, H>(&*self.handler, &items, Some(guard), at).await;
        let (result, has_written) = match lent.take_back() {
            Err(_) => (Err(kept(&self.subject.name)), true),
            Ok(mut tx) => {
                // What it has to itself is taken back at once: to ask costs as much.
                let is_apart = group.saved == Some(group.ran.len());
                let has_written =
                    called.is_err() && (is_apart || ledger.has_written(&mut tx).await);
                let is_too_weak = ledger.is_too_weak(&tx);
                group.tx = Some(tx);
                if is_too_weak {
                    return Err(Broken::TooWeak(items));
                }
                (called, has_written)
            }
        };
        let Err(failure) = result else {
            for item in &items {
                self.succeeded(item);
                self.stretch.went_on();
            }
            group.ran.extend(items);
            return Ok(());
        };
        if has_written && let Some(others) = self.back_to_savepoint(group).await {
            if others.is_empty() {
                return self.run_failed(group, items, failure, false);
            }
            self.taken_back(items, others);
            return Ok(());
        }
        self.run_failed(group, items, failure, has_written)
    }

    /// Takes back what was done since the savepoint, and answers whose it was beside the one that has
    /// failed; `None`: there is no savepoint, or none any more.
    async fn back_to_savepoint(&mut self, group: &mut Group<L::Transaction>) -> Option<Vec<Item>> {
        let (saved, tx) = (group.saved?, group.tx.as_mut()?);
        let taken_back = self.shared.ledger.take_back(tx).await;
        taken_back.ok().map(|()| group.ran.split_off(saved))
    }

    /// All of these are run again, and in order: first those that went well.
    fn taken_back(&mut self, failed: Vec<Item>, others: Vec<Item>) {
        self.stretch.was_taken_back();
        self.apart.extend(failed.iter().map(Item::place));
        self.put_all_first(failed);
        self.redo(others);
    }

    fn run_failed(
        &mut self,
        group: &mut Group<L::Transaction>,
        mut items: Vec<Item>,
        failure: Failure,
        has_written: bool,
    ) -> Result<(), Broken> {
        let is_alone = group.ran.is_empty() && items.len() == 1;
        if items.len() > 1 || (has_written && !is_alone) {
            return Err(Broken::By(items));
        }
        match self.judge(&items[0], failure) {
            Err(away) => Err(Broken::Away(items, away)),
            Ok(fate) if has_written => Err(Broken::Alone(Box::new((items.remove(0), fate)))),
            Ok(fate) => {
                self.failed(&items[0], fate);
                // One that blocks others is not at its end: no commit makes or takes it.
                group.ran.extend(items.into_iter().filter(|item| !self.blocks(item)));
                Ok(())
            }
        }
    }

    async fn commit(&mut self, group: Group<L::Transaction>) {
        let Group { tx, ran, .. } = group;
        let (tx, settlement) = (tx.expect("it is lent no more"), self.holding.settlement());
        match self.write(tx, &settlement).await {
            Ok(None) => self.group_max = self.group_max.saturating_mul(2),
            Ok(Some(refused)) => {
                self.redo(ran);
                self.not_settled(refused);
            }
            Err(error) => self.not_committed(ran, error),
        }
    }

    /// Smaller groups find whose doing it was; alone, a message answers for it.
    fn not_committed(&mut self, mut ran: Vec<Item>, error: Error) {
        let is_one = ran.len() == 1;
        let error = blamed(error);
        if is_outage(&self.shared.ledger.fault(&error)) {
            self.redo(ran);
            self.is_away(Away(text(&error)));
        } else if is_one {
            let item = self.take_back(ran.remove(0));
            match self.judge(&item, Failure::Verdict(Verdict::Retry(error))) {
                Ok(fate) => self.failed(&item, fate),
                Err(away) => {
                    self.back(item);
                    self.is_away(away);
                }
            }
        } else {
            tracing::warn!(
                subscription = self.subject.name,
                "a group is run again, in parts: {error}"
            );
            self.group_max = (ran.len() / 2).max(1);
            self.redo(ran);
        }
    }

    /// A message that seemed to be applied is in hand again.
    fn take_back(&mut self, item: Item) -> Item {
        self.redo(vec![item.clone()]);
        if !item.is_again {
            return self.holding.take_redo(item.place()).unwrap_or(item);
        }
        self.holding.takes_again(&item);
        item
    }

    /// Rolls a group back; what it had run is run again.
    async fn broken(&mut self, group: Group<L::Transaction>, broken: Broken) -> Result {
        if let Some(tx) = group.tx {
            self.shared.ledger.rollback(tx).await;
        }
        match broken {
            Broken::By(items) if items.len() == 1 && group.saved.is_none() => {
                self.taken_back(items, group.ran);
                return Ok(());
            }
            Broken::By(items) => {
                match &items[..] {
                    [item] => drop(self.alone.insert(item.place())),
                    items => self.group_max = (items.len() / 2).max(1),
                }
                self.put_all_first(items);
            }
            Broken::Unsaved(items, error) => {
                self.put_all_first(items);
                if group.ran.is_empty() {
                    return Err(error);
                }
                self.not_committed(group.ran, error);
                return Ok(());
            }
            Broken::TooWeak(items) => self.put_all_first(items),
            Broken::Alone(of) => self.failed(&of.0, of.1),
            Broken::Away(items, away) => {
                items.into_iter().rev().for_each(|item| self.back(item));
                self.is_away(away);
            }
        }
        self.redo(group.ran);
        Ok(())
    }

    /// What was run in a transaction that is gone is run again.
    fn redo(&mut self, ran: Vec<Item>) {
        let suspects = ran.iter().filter(|item| item.is_suspect).cloned().collect::<Vec<_>>();
        self.holding.redo(ran);
        for item in &suspects {
            self.give_attempt_back(item);
        }
        self.retries.rolled_back();
    }

    fn put_all_first(&mut self, items: Vec<Item>) {
        for item in items.into_iter().rev() {
            if item.is_again {
                self.hand_back(item);
            } else {
                self.holding.put_first(item);
            }
        }
    }
}

fn kept(name: &str) -> Failure {
    Failure::Verdict(Verdict::Retry(crate::subscription::kept(name).into()))
}
