//! Messages that a handler would begin with later than they are of use: given up.

use super::engine::Engine;
use super::item::Item;
use crate::handler::Handler;
use consign_core::{Driver, Fate, QueueLedger, Reason};

impl<L: QueueLedger, D: Driver, H: Handler<L::Connection>> Engine<L, D, H> {
    /// The next message for a handler, by the rate; those that have expired end on the way.
    pub(super) fn next(&mut self) -> Option<Item> {
        while self.limits.may_take() {
            let item = self.next_of_all()?;
            let taken = self.take_in_time(item);
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// The same message, counted by the rate, unless it has expired.
    pub(super) fn take_in_time(&mut self, item: Item) -> Option<Item> {
        let item = self.in_time(item)?;
        self.limits.take();
        Some(item)
    }

    /// A message that has not expired; one that has is a dead letter.
    fn in_time(&mut self, item: Item) -> Option<Item> {
        let Some(expires) = item.expires else { return Some(item) };
        let Ok(late) = self.shared.ledger.now().duration_since(expires) else { return Some(item) };
        let error = format!("it expired {late:?} before it was handled");
        let attempts = item.attempt.saturating_sub(1);
        self.failed(&item, Fate::Dead { attempts, reason: Reason::Expired, error });
        None
    }
}
