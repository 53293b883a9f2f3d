//! A place in the line, and the one at its head: whatever is cut short there leaves nothing open.

use crate::line::Slot;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// Where the line stands, and how many stand in it.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) slot: Arc<Mutex<Slot>>,
    standing: Arc<AtomicUsize>,
}

/// Counted among those who stand in line, until dropped.
#[derive(Debug)]
pub(crate) struct Standing(Queue);

/// The head of the line. Dropped before it is settled, with a runtime that ends for example, it
/// closes the connection: SQLite rolls back what is open.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Queue,
    slot: OwnedMutexGuard<Slot>,
    is_settled: bool,
}

impl Queue {
    pub(crate) fn new(slot: Slot) -> Self {
        Self { slot: Arc::new(Mutex::new(slot)), standing: Arc::default() }
    }

    pub(crate) fn stand(&self) -> Standing {
        self.standing.fetch_add(1, Ordering::SeqCst);
        Standing(self.clone())
    }

    /// Waits until everybody who came before has gone.
    pub(crate) async fn place(&self) -> Place {
        let slot = Arc::clone(&self.slot).lock_owned().await;
        Place { queue: self.clone(), slot, is_settled: false }
    }

    /// Somebody stands in line for the head.
    pub(crate) fn is_wanted(&self) -> bool {
        self.standing.load(Ordering::SeqCst) > 0
    }

    /// To be called by whoever goes without having come to the head: what was handed on to nobody,
    /// and is awaited by nobody, is rolled back.
    pub(crate) fn leave(&self) {
        if let Ok(mut slot) = self.slot.try_lock()
            && slot.group.as_ref().is_some_and(|group| !group.is_awaited())
        {
            slot.close();
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.standing.fetch_sub(1, Ordering::SeqCst);
        self.0.leave();
    }
}

impl Place {
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Nothing is open, or what is open was handed on: lets the next one in.
    pub(crate) fn settled(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_settled {
            self.slot.close();
        }
    }
}

impl Deref for Place {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.slot
    }
}

impl DerefMut for Place {
    fn deref_mut(&mut self) -> &mut Slot {
        &mut self.slot
    }
}
