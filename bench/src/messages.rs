//! What is published while measuring.

use consign::Message;
use serde::{Deserialize, Serialize};

/// Different keys among a backlog's messages.
pub(crate) const AUTHORS: i64 = 1_000;
/// Bytes of a payload around its text, with a number of three digits.
const AROUND: usize = r#"{"author_id":123,"text":""}"#.len();

/// Counts one for an author.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "article.written", version = 1, topic = "written", key = author_id)]
pub(crate) struct Written {
    pub(crate) author_id: i64,
    pub(crate) text: String,
}

/// Stands for a topic that few publish to.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "author.renamed", version = 1, topic = "renamed", key = author_id)]
pub(crate) struct Renamed {
    pub(crate) author_id: i64,
}

impl Written {
    /// The message of number `number`, whose payload has about so many bytes.
    pub(crate) fn of_bytes(number: u64, bytes: usize) -> Self {
        let author_id = number as i64 % AUTHORS;
        Self { author_id, text: "x".repeat(bytes.saturating_sub(AROUND)) }
    }
}
