//! One partition that this process owns for a queue.

use super::window::Window;
use crate::poll::Reading;
use consign_core::{Fate, Key, Order, Owned, Unfinished};
use std::collections::HashSet;
use tokio::time::Instant;

/// Messages that are run alone after a process died with a partition: as many as it may have had in
/// hand.
const SUSPECTS: usize = 100;

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
    /// So many of the next messages are run alone.
    pub(super) suspects: usize,
    pub(super) in_hand: usize,
    /// It is handed over when nothing of it is in hand.
    pub(super) is_leaving: bool,
}

impl Part {
    pub(super) fn new(owned: Owned, found: Unfinished, reading: Reading) -> Self {
        let Owned { epoch, cursor, .. } = owned;
        let Unfinished { marks, parked, is_suspect, .. } = found;
        Self {
            window: Window::new(epoch, cursor, marks),
            reading,
            more: true,
            changed: false,
            not_before: None,
            waits: None,
            parked: parked.into_iter().collect(),
            suspects: if is_suspect { SUSPECTS } else { 0 },
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

    /// The process before died with this message perhaps in hand: it is run alone from now on.
    pub(super) fn suspect(&mut self, order: Order) -> Fate {
        self.suspects -= 1;
        super::fate::watched(order)
    }
}
