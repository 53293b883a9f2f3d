//! A message in a worker's hands, and where it came from.

use super::lanes::Place;
use super::outage::Failed;
use consign_core::{
    Delivery, Envelope, Epoch, Event, Key, Message, Offset, Partition, Waiting, expiry,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;

use crate::effect::panic_text;

/// A message that is handled, or is about to be.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) partition: Partition,
    /// Under which its partition is owned: what comes back under another one is forgotten.
    pub(crate) epoch: Epoch,
    pub(crate) offset: Offset,
    /// Which try this is; the first is 1.
    pub(crate) attempt: u32,
    /// It had waited for a retry: it has its done mark already, and a row of its own.
    pub(crate) is_again: bool,
    /// It may have killed the process that ran it.
    pub(crate) is_suspect: bool,
    /// Its lane goes on when it is at its end.
    pub(crate) leads: bool,
    /// Nothing begins with it from then on.
    pub(crate) expires: Option<SystemTime>,
    pub(crate) envelope: Envelope,
}

impl Item {
    /// A message of the log, for the first time.
    pub(crate) fn first(
        partition: Partition,
        epoch: Epoch,
        offset: Offset,
        envelope: Envelope,
    ) -> Self {
        Self {
            partition,
            epoch,
            offset,
            attempt: 1,
            is_again: false,
            is_suspect: false,
            leads: true,
            expires: expiry(&envelope.headers),
            envelope,
        }
    }

    /// A message that had waited.
    pub(crate) fn again(waiting: Waiting, epoch: Epoch) -> Self {
        let Waiting { partition, offset, attempt, is_suspect, envelope } = waiting;
        Self {
            partition,
            epoch,
            offset,
            attempt,
            is_again: true,
            is_suspect,
            leads: false,
            expires: expiry(&envelope.headers),
            envelope,
        }
    }

    pub(crate) fn place(&self) -> Place {
        (self.partition, self.offset)
    }

    pub(crate) fn failed(&self) -> Failed {
        Failed::new(self.place(), self.attempt, self.key(), self.envelope.id)
    }

    pub(crate) fn key(&self) -> Option<&Key> {
        self.envelope.key.as_ref()
    }

    /// Its bytes as a message; an error says why they are none.
    pub(crate) fn decode<M: Message>(&self, now: SystemTime) -> Result<Event<M>, String> {
        let Envelope { kind, version, payload, .. } = &self.envelope;
        // A message that makes its own code panic harms itself alone.
        let decoded = catch_unwind(AssertUnwindSafe(|| M::decode(kind, *version, payload)));
        match decoded {
            Ok(Ok(message)) => Ok(Event::new(self.delivery(now), message)),
            Ok(Err(error)) => Err(format!("it cannot be decoded: {error:?}")),
            Err(panic) => Err(format!("decoding it panicked: {}", panic_text(&*panic))),
        }
    }

    fn delivery(&self, now: SystemTime) -> Delivery {
        let Envelope { id, key, headers, published_at, .. } = &self.envelope;
        let age = now.duration_since(*published_at).unwrap_or_default();
        Delivery { id: *id, attempt: self.attempt, key: key.clone(), age, headers: headers.clone() }
    }
}
