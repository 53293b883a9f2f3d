//! A message before it has an id: what is published, and what its publisher asks of it.

use crate::expiry::{EXPIRY_HEADER, rfc3339};
use crate::{
    Error, HEADERS_BYTES_MAX, Key, Kind, Message, PAYLOAD_BYTES_MAX, PUBLISH_MESSAGES_MAX, Result,
    SubscriptionName, Topic,
};
use bytes::Bytes;
use std::time::{Duration, SystemTime};

/// A message that has no id and no time yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where it is published to.
    pub topic: Topic,
    /// Its kind and version.
    pub kind: Kind,
    /// What it keeps its order by.
    pub key: Option<Key>,
    /// A JSON object of text; empty where there are none.
    pub headers: Bytes,
    /// The encoded message.
    pub payload: Bytes,
    /// When it comes into the log; `None`: at once.
    pub due: Option<DueTime>,
    /// How long after that a queue may still begin with it.
    pub deliver_within: Option<Duration>,
    /// The name that no other message of its kind may hold meanwhile.
    pub unique: Option<Unique>,
}

/// When a message is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueTime {
    /// So long after it was published.
    After(Duration),
    /// Then.
    At(SystemTime),
}

/// A name that one message of its kind holds, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The name.
    pub name: Key,
    /// When it is free again.
    pub until: Until,
}

/// When the name of a unique message is free again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// So long after the publish.
    Passed(Duration),
    /// When this subscription has come to an end with the message.
    HandledBy(SubscriptionName),
}

impl Draft {
    /// Encodes a message and checks its bounds.
    ///
    /// # Errors
    /// `bad-name`, `key-too-long`, `payload-too-large`, `encode`.
    pub fn new<M: Message>(message: &M) -> Result<Self> {
        let payload = message.encode()?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(too_large(message.kind().name, payload.len()));
        }
        Ok(Self {
            topic: Topic::new(M::TOPIC)?,
            kind: message.kind(),
            key: message.key()?,
            headers: Bytes::new(),
            payload,
            due: None,
            deliver_within: None,
            unique: None,
        })
    }

    /// Encodes several messages.
    ///
    /// # Errors
    /// As [`Draft::new`], and `too-many-messages`.
    pub fn all<'m, M: Message>(messages: impl IntoIterator<Item = &'m M>) -> Result<Vec<Self>> {
        let drafts = messages.into_iter().map(Self::new).collect::<Result<Vec<_>>>()?;
        if drafts.len() <= PUBLISH_MESSAGES_MAX {
            return Ok(drafts);
        }
        let found = drafts.len();
        let message = format!(
            "a call publishes at most {PUBLISH_MESSAGES_MAX} messages, not {found}: call it again"
        );
        Err(Error::new("too-many-messages", message))
    }

    /// Fixes what was said relative to the publish, which is now; once more changes nothing.
    ///
    /// # Errors
    /// `bad-time`, `headers-too-large`.
    pub fn stamp(&mut self, now: SystemTime) -> Result {
        let due = self.due.map(|due| due.fixed(now)).transpose()?;
        self.due = due.map(DueTime::At);
        if let Some(wait) = self.deliver_within.take() {
            let from = due.map_or(now, |due| due.max(now));
            self.add_header(EXPIRY_HEADER, &rfc3339(later(from, wait)?)?)?;
        }
        Ok(())
    }

    /// When it is due, where that lies ahead of `now`; after [`Draft::stamp`].
    #[must_use]
    pub fn due_after(&self, now: SystemTime) -> Option<SystemTime> {
        match self.due {
            Some(DueTime::At(due)) if due > now => Some(due),
            _ => None,
        }
    }

    pub(crate) fn add_header(&mut self, name: &str, value: &str) -> Result {
        let mut headers: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&self.headers).unwrap_or_default();
        headers.insert(name.into(), value.into());
        let bytes = serde_json::to_vec(&headers).expect("text becomes JSON");
        if bytes.len() > HEADERS_BYTES_MAX {
            let message = format!("headers have at most {HEADERS_BYTES_MAX} bytes in all");
            return Err(Error::new("headers-too-large", message));
        }
        self.headers = bytes.into();
        Ok(())
    }
}

impl DueTime {
    fn fixed(self, now: SystemTime) -> Result<SystemTime> {
        match self {
            Self::After(wait) => later(now, wait),
            Self::At(due) => rfc3339(due).map(|_| due),
        }
    }
}

fn later(from: SystemTime, wait: Duration) -> Result<SystemTime> {
    let then = from.checked_add(wait);
    let then =
        then.ok_or_else(|| Error::new("bad-time", format!("{wait:?} is too long a time")))?;
    rfc3339(then).map(|_| then)
}

fn too_large(kind: &str, found: usize) -> Error {
    let message = format!(
        "a payload has at most {PAYLOAD_BYTES_MAX} bytes, this {kind:?} has {found}: \
         publish the id of a row, not the row"
    );
    Error::new("payload-too-large", message)
}

#[cfg(test)]
mod tests {
    use super::{Draft, DueTime};
    use crate::{Kind, Topic, expiry};
    use bytes::Bytes;
    use std::time::{Duration, SystemTime};

    const HOUR: Duration = Duration::from_hours(1);

    fn draft(due: Option<DueTime>, deliver_within: Option<Duration>) -> Draft {
        Draft {
            topic: Topic::new("digests").unwrap(),
            kind: Kind { name: "digest", version: 1 },
            key: None,
            headers: Bytes::new(),
            payload: Bytes::new(),
            due,
            deliver_within,
            unique: None,
        }
    }

    #[test]
    fn what_is_delayed_expires_so_long_after_it_is_due() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_796_083_510_123_456);
        for (due, from) in [
            (None, now),
            (Some(DueTime::After(HOUR)), now + HOUR),
            (Some(DueTime::At(now + HOUR)), now + HOUR),
            (Some(DueTime::At(now - HOUR)), now),
        ] {
            let mut draft = draft(due, Some(HOUR));
            draft.stamp(now).unwrap();
            draft.stamp(now + HOUR).unwrap();
            assert_eq!(expiry(&draft.headers), Some(from + HOUR), "{due:?}");
            assert_eq!(draft.due_after(now).unwrap_or(now), from, "{due:?}");
        }
    }

    #[test]
    fn a_time_that_no_calendar_has_is_refused() {
        let now = SystemTime::UNIX_EPOCH;
        for wait in [Duration::MAX, Duration::from_hours(24 * 366 * 10_000)] {
            let code = |mut draft: Draft| draft.stamp(now).unwrap_err().code();
            assert_eq!(code(draft(Some(DueTime::After(wait)), None)), "bad-time");
            assert_eq!(code(draft(None, Some(wait))), "bad-time");
        }
    }
}
