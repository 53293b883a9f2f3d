//! The words of a history.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Something that a process did, or that was done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was noted.
    pub at: Moment,
    /// Who noted it: a number that no other process of the run has.
    pub process: u32,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// Nanoseconds since the clock of the run began, simulated or the machine's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// How long after `earlier`; nothing if it was before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Names a message of a run. Its body carries it, so that no other message can stand in for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageNumber(pub u64);

impl fmt::Display for MessageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}", self.0)
    }
}

/// Where a message lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u16,
    /// The offset.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A publish begins. Without one of the three answers below nobody knows how it ended.
    Publishing(Publishing),
    /// Accepted.
    Published {
        /// The message.
        message: MessageNumber,
        /// Where it lies, if the publisher was told.
        place: Option<Place>,
    },
    /// It was refused or rolled back, for certain.
    NotPublished {
        /// The message.
        message: MessageNumber,
    },
    /// Nobody can say how it ended.
    PublishUnknown {
        /// The message.
        message: MessageNumber,
    },
    /// A handler begins.
    Delivered(Delivered),
    /// A delivery has ended.
    Applied {
        /// The subscription.
        subscription: String,
        /// The message.
        message: MessageNumber,
        /// The worker process.
        worker: u32,
        /// Under which epoch.
        epoch: u64,
        /// How.
        end: End,
    },
    /// A cursor was moved, and the move is committed.
    Moved(Moved),
    /// A dead letter is about to be put back for delivery.
    Redriven {
        /// The subscription.
        subscription: String,
        /// The message.
        message: MessageNumber,
    },
    /// A subscription is about to be rebuilt: its cursors go back.
    Rebuilt {
        /// The subscription.
        subscription: String,
    },
    /// A fault begins: `kill`, `stop`, `disk full`, …
    Fault {
        /// What kind of fault.
        kind: String,
        /// Whom it hits.
        target: String,
    },
    /// A fault is over: whoever was killed has been started again.
    Healed {
        /// What kind of fault.
        kind: String,
        /// Whom it had hit.
        target: String,
    },
}

impl What {
    /// The message it speaks of.
    #[must_use]
    pub fn message(&self) -> Option<MessageNumber> {
        match self {
            Self::Publishing(Publishing { message, .. })
            | Self::Published { message, .. }
            | Self::NotPublished { message }
            | Self::PublishUnknown { message }
            | Self::Delivered(Delivered { message, .. })
            | Self::Applied { message, .. }
            | Self::Redriven { message, .. } => Some(*message),
            Self::Moved(_) | Self::Rebuilt { .. } | Self::Fault { .. } | Self::Healed { .. } => {
                None
            }
        }
    }

    /// The subscription it speaks of.
    #[must_use]
    pub fn subscription(&self) -> Option<&str> {
        match self {
            Self::Delivered(Delivered { subscription, .. })
            | Self::Applied { subscription, .. }
            | Self::Moved(Moved { subscription, .. })
            | Self::Redriven { subscription, .. }
            | Self::Rebuilt { subscription } => Some(subscription),
            _ => None,
        }
    }
}

/// What is being published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publishing {
    /// The message.
    pub message: MessageNumber,
    /// The topic.
    pub topic: String,
    /// The stored name of its type.
    pub kind: String,
    /// What it keeps its order by; `None`, too, if it is delayed. A key has one publisher.
    pub key: Option<String>,
    /// Who publishes: one message after the other.
    pub publisher: u32,
    /// Grows with each message of this publisher.
    pub number: u64,
    /// Of the body.
    pub hash: u64,
}

/// One hand-over of a message to a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// The subscription.
    pub subscription: String,
    /// The message.
    pub message: MessageNumber,
    /// Where it lies, as the worker read it.
    pub place: Place,
    /// The worker process.
    pub worker: u32,
    /// Under which epoch.
    pub epoch: u64,
    /// Which try this is, from 1.
    pub attempt: u32,
}

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Its effect is committed.
    Done,
    /// It was rolled back.
    Failed,
    /// The ledger refused it: the partition has a newer owner.
    Fenced,
    /// Nobody answered the COMMIT.
    Unknown,
}

/// A cursor's move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The subscription.
    pub subscription: String,
    /// The partition of its topic.
    pub partition: u16,
    /// Under which epoch.
    pub epoch: u64,
    /// Where it stood.
    pub from: u64,
    /// The next message.
    pub to: u64,
}
