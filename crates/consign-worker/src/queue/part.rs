//! One partition that this process owns for a queue.

use super::window::Window;
use crate::poll::Reading;
use consign_core::{Fate, Key, Offset, Order, Owned, Unfinished};
use std::collections::HashSet;
use tokio::time::Instant;

/// A partition in this process: what is known from its cursor on, and how it is read.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) window: Window,
    pub(super) reading: Reading,
    pub(super) more: bool,
    pub(super) changed: bool,
    pub(super) not_before: Option<Instant>,
    /// Why the next message is not read on from.
    pub(super) waits: Option<String>,
    pub(super) parked: HashSet<Key>,
    /// What lies below, and is not finished, is run alone.
    suspects_below: Offset,
    /// With [`Order::Block`]: the message that has failed, or is to run alone, and comes next.
    pub(super) waits_for: Option<Offset>,
    pub(super) in_hand: usize,
    /// It is handed over when nothing of it is in hand.
    pub(super) is_leaving: bool,
}

impl Part {
    pub(super) fn new(owned: Owned, found: Unfinished, reading: Reading, order: Order) -> Self {
        let Owned { epoch, cursor, .. } = owned;
        let Unfinished { marks, parked, suspects_below, last_suspect, .. } = found;
        Self {
            window: Window::new(epoch, cursor, marks),
            reading,
            more: true,
            changed: false,
            not_before: None,
            waits: None,
            parked: parked.into_iter().collect(),
            suspects_below: suspects_below.unwrap_or_default(),
            waits_for: last_suspect.filter(|_| order == Order::Block),
            in_hand: 0,
            is_leaving: false,
        }
    }

    pub(super) fn wants(&mut self, now: Instant) -> bool {
        if self.is_leaving || self.not_before.is_some_and(|at| at > now) || self.window.is_full() {
            return false;
        }
        self.not_before = None;
        let wants = self.more || self.changed;
        self.changed &= !wants;
        wants
    }

    /// Where the process before died with this message perhaps in hand, it is run alone from now on.
    pub(super) fn suspect(&mut self, offset: Offset, order: Order) -> Option<Fate> {
        (offset < self.suspects_below).then(|| super::fate::watched(order))
    }

    /// Nothing of it is to come before this message.
    pub(super) fn is_free(&self, offset: Offset) -> bool {
        self.waits_for.is_none_or(|first| offset <= first)
    }
}
