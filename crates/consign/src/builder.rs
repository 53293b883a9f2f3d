//! Opening with more than the database: topics that are not as usual.

use crate::sqlite::Consign;
use crate::{Message, Result};
use consign_core::Clock;
use consign_sql::{AtCommit, Log, LogOptions, NewTopic};
use sqlx::SqlitePool;
use std::marker::PhantomData;
use std::sync::Arc;

/// What is opened beside the database; from [`Consign::builder`].
#[must_use = "finish it with `open().await`"]
#[derive(Debug)]
pub struct Builder {
    db: SqlitePool,
    topics: Vec<NewTopic>,
    options: LogOptions,
}

impl Builder {
    pub(crate) fn new(db: &SqlitePool) -> Self {
        Self { db: db.clone(), topics: Vec::new(), options: LogOptions::default() }
    }

    /// Creates a topic that is not as usual. The usual ones need no line: the first publish or
    /// subscription creates them.
    pub fn topic<M: Message>(mut self, topic: Topic<M>) -> Self {
        self.topics.push(topic.new);
        self
    }

    /// About how many bytes of messages the log keeps, at most; without this their age alone
    /// decides.
    ///
    /// A message that all subscriptions have passed is removed a week after it was published, by the
    /// workers; where the log is larger than this, earlier. What a subscription has yet to read is
    /// kept, however much it is, as long as a process has named the subscription within a week.
    pub fn log_bytes_max(mut self, bytes: u64) -> Self {
        self.options.log_bytes_max = Some(bytes);
        self
    }

    /// Takes the time from elsewhere: for tests that decide what "now" is.
    #[doc(hidden)]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.options.clock = clock;
        self
    }

    /// Is asked at each commit of the workers: for tests that end them there.
    #[doc(hidden)]
    pub fn at_commit(mut self, at_commit: Arc<dyn AtCommit>) -> Self {
        self.options.at_commit = Some(at_commit);
        self
    }

    /// Checks, migrates, and opens.
    ///
    /// # Errors
    /// As [`Consign::open`], and `other-partitions` for a topic that stands with another number of
    /// partitions.
    pub async fn open(self) -> Result<Consign> {
        Log::open_with(&self.db, &self.topics, self.options).await.map(Consign::new)
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
