//! Opening with more than the database: topics that are not as usual.

use crate::sqlite::Consign;
use crate::{Message, Result};
use consign_sql::{Log, NewTopic};
use sqlx::SqlitePool;
use std::marker::PhantomData;

/// What is opened beside the database; from [`Consign::builder`].
#[must_use = "finish it with `open().await`"]
#[derive(Debug)]
pub struct Builder {
    db: SqlitePool,
    topics: Vec<NewTopic>,
}

impl Builder {
    pub(crate) fn new(db: &SqlitePool) -> Self {
        Self { db: db.clone(), topics: Vec::new() }
    }

    /// Creates a topic that is not as usual. The usual ones need no line: the first publish or
    /// subscription creates them.
    pub fn topic<M: Message>(mut self, topic: Topic<M>) -> Self {
        self.topics.push(topic.new);
        self
    }

    /// Checks, migrates, and opens.
    ///
    /// # Errors
    /// As [`Consign::open`], and `other-partitions` for a topic that stands with another number of
    /// partitions.
    pub async fn open(self) -> Result<Consign> {
        Log::open(&self.db, &self.topics).await.map(Consign::new)
    }
}

/// The topic that `M` is published to, with options:
/// `topic::<ArticlePublished>().partitions(64)`.
pub fn topic<M: Message>() -> Topic<M> {
    let new = NewTopic { name: M::TOPIC, partitions: 8 };
    Topic { new, message: PhantomData }
}

/// A topic with options; see [`topic()`].
#[must_use = "give it to `topic` of the builder"]
#[derive(Debug)]
pub struct Topic<M> {
    new: NewTopic,
    message: PhantomData<fn(M)>,
}

impl<M> Topic<M> {
    /// How many partitions it has, 1 to 256; usually 8. So many processes can share a subscription.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.new.partitions = partitions;
        self
    }
}
