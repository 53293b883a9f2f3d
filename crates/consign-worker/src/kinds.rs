//! Apply, skip and count, or wait: what a build makes of a message's kind.

use crate::effect::panic_text;
use consign_core::{Delivery, Envelope, Event, Message, Offset};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

/// What is done with a message.
#[derive(Debug)]
pub(crate) enum Judged<T> {
    /// It is applied.
    Apply(T),
    /// No process of the subscription ever named its kind.
    Skip(Arc<str>),
    /// It stays, with all that follows it in its partition, for this reason.
    Wait(String),
}

/// Judges a message by its kind and bytes; `named` are the kinds on the subscription's row.
pub(crate) fn judge<M: Message>(
    offset: Offset,
    envelope: Envelope,
    named: &[String],
    now: SystemTime,
) -> Judged<Event<M>> {
    if let Some(unread) = unread::<M, _>(offset, &envelope, named) {
        return unread;
    }
    match decode(&envelope) {
        Ok(message) => Judged::Apply(Event::new(delivery(envelope, now), message)),
        Err(why) => Judged::Wait(format!(
            "message {offset} ({}) of the kind {:?} cannot be decoded: {why}",
            envelope.id, envelope.kind
        )),
    }
}

/// Judges a message by its kind alone.
pub(crate) fn sort<M: Message>(
    offset: Offset,
    envelope: Envelope,
    named: &[String],
    _: SystemTime,
) -> Judged<Envelope> {
    unread::<M, _>(offset, &envelope, named).unwrap_or_else(|| Judged::Apply(envelope))
}

/// What is done with a message that this build cannot read.
fn unread<M: Message, T>(
    offset: Offset,
    Envelope { id, kind, version, .. }: &Envelope,
    named: &[String],
) -> Option<Judged<T>> {
    let Some(known) = M::KINDS.iter().find(|known| *known.name == **kind) else {
        if !named.iter().any(|named| **named == **kind) {
            return Some(Judged::Skip(Arc::clone(kind)));
        }
        return Some(Judged::Wait(format!(
            "message {offset} ({id}) is of the kind {kind:?}, which another build of this \
             subscription reads and this one does not know: it waits for that build"
        )));
    };
    (*version > known.version).then(|| {
        Judged::Wait(format!(
            "message {offset} ({id}) is {kind:?} version {version}, and this build reads up to \
             {}: it waits for a newer build",
            known.version
        ))
    })
}

/// A message that makes its own code panic holds up its partition, not the task that reads all.
fn decode<M: Message>(Envelope { kind, version, payload, .. }: &Envelope) -> Result<M, String> {
    match catch_unwind(AssertUnwindSafe(|| M::decode(kind, *version, payload))) {
        Ok(decoded) => decoded.map_err(|error| format!("{error:?}")),
        Err(panic) => Err(format!("it panicked: {}", panic_text(&*panic))),
    }
}

fn delivery(envelope: Envelope, now: SystemTime) -> Delivery {
    let age = now.duration_since(envelope.published_at).unwrap_or_default();
    Delivery { id: envelope.id, attempt: 1, key: envelope.key, age, headers: envelope.headers }
}
