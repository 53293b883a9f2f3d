//! What a commit answers: where its messages lie.

use crate::{Offset, Partition, Topic};
use std::fmt;

/// One message that a commit made visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: Partition,
    /// Its place in the partition.
    pub offset: Offset,
}

/// What was accepted: topic, partition and offset of all messages of a commit.
///
/// # Guarantee
/// Whoever holds a receipt knows that the messages are on disk: kill -9 and power loss take none
/// of them back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    messages: Vec<Published>,
}

impl Receipt {
    #[doc(hidden)]
    pub fn new(messages: Vec<Published>) -> Self {
        Self { messages }
    }

    /// The messages, in the order they were published.
    pub fn messages(&self) -> &[Published] {
        &self.messages
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, Published { topic, partition, offset }) in self.messages.iter().enumerate() {
            let comma = if nth == 0 { "" } else { "," };
            write!(f, "{comma}{topic}/{partition}/{offset}")?;
        }
        Ok(())
    }
}
