//! What a handler publishes through its worker's transaction: exactly once, as the effect beside it.

use crate::connection::WriteConnection;
use crate::handle::Log;
use crate::publish::Durability;
use crate::sqlite::thread::in_one_hop;
use crate::topics::{self, TopicRow};
use consign_core::{Draft, Error, MessageId, Result, SubscriptionId, Topic};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Subscriptions whose handlers publish: a message that somebody can see is on disk, so that their
/// transactions are begun durable.
#[derive(Clone, Debug, Default)]
pub(super) struct Publishers(Arc<Mutex<HashSet<SubscriptionId>>>);

/// How a handler's transaction publishes.
#[derive(Debug)]
pub(super) struct Publishing {
    log: Log,
    of: SubscriptionId,
    publishers: Publishers,
    is_durable: bool,
    is_too_weak: bool,
    has_published: bool,
    /// To be remembered when the transaction has committed.
    topics: Vec<(Topic, TopicRow)>,
}

impl Publishers {
    /// Asks whether handlers of a subscription have ever published in this process.
    pub(super) fn contains(&self, of: SubscriptionId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&of)
    }

    fn insert(&self, of: SubscriptionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(of);
    }
}

impl Publishing {
    pub(super) fn new(
        log: Log,
        of: SubscriptionId,
        publishers: Publishers,
        is_durable: bool,
    ) -> Self {
        let (is_too_weak, has_published, topics) = (false, false, Vec::new());
        Self { log, of, publishers, is_durable, is_too_weak, has_published, topics }
    }

    /// The transaction must be begun anew, durable.
    pub(super) fn is_too_weak(&self) -> bool {
        self.is_too_weak
    }

    /// Writes into the log; in a transaction that a power cut could take back it writes nothing,
    /// and remembers that handlers of this subscription publish.
    pub(super) async fn put(
        &mut self,
        connection: &mut WriteConnection,
        drafts: Vec<Draft>,
    ) -> Result<Vec<MessageId>> {
        connection.check_open()?;
        if !self.is_durable {
            self.is_too_weak = true;
            self.publishers.insert(self.of);
            return Err(too_weak());
        }
        let connection = &mut connection.connection;
        let outcome = self.log.append(connection, drafts, Durability::Ours).await?;
        self.has_published = true;
        self.topics.extend(outcome.topics);
        Ok(outcome.ids)
    }

    /// Before the commit: a savepoint that was rolled back takes topics with it.
    pub(super) async fn settle(&mut self, connection: &mut WriteConnection) -> Result {
        if self.topics.is_empty() {
            return Ok(());
        }
        let topics = &mut self.topics;
        let keep = |db: &rusqlite::Connection| topics::keep_committed(db, topics);
        in_one_hop(&mut connection.connection, "commit", keep).await
    }

    /// After the commit: readers look at once.
    pub(super) fn committed(self) {
        if self.has_published {
            self.log.committed(self.topics);
        }
    }
}

fn too_weak() -> Error {
    let message = "cannot publish: this transaction was begun for an effect alone, and a power cut \
                   could take it back; it is rolled back, and the handler is called again in a \
                   durable one: return this error";
    Error::new("not-durable", message)
}
