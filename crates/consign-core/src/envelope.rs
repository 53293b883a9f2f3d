//! A message as it travels, and what a handler is told of it.

use crate::{Key, MessageId};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A message as it travels: id, kind, key, headers, time, bytes.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The same through every hop.
    pub id: MessageId,
    /// The stored name of its type.
    pub kind: Arc<str>,
    /// The version of its type.
    pub version: u32,
    /// What it keeps its order by.
    pub key: Option<Key>,
    /// When it was published, by the publisher's clock.
    pub published_at: SystemTime,
    /// A JSON object of text, such as `traceparent`; empty where there are none.
    pub headers: Bytes,
    /// The encoded message.
    pub payload: Bytes,
}

/// One hand-over of one message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names the message; the idempotency key for systems outside the database.
    pub id: MessageId,
    /// Which try of this message by this subscription this is; the first is 1.
    pub attempt: u32,
    /// What it keeps its order by.
    pub key: Option<Key>,
    /// How long ago it was published when it was read.
    pub age: Duration,
    /// A JSON object of text, such as `traceparent`; empty where there are none.
    pub headers: Bytes,
}
