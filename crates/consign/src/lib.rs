#![doc = "*What does not need to be done in real time shouldn't be done in real time.*"]
//!
//! A request handler writes its row and **publishes** a message in the same transaction, answers at
//! once, and workers apply the message's effects afterwards, each exactly once. The application's
//! own database is the first broker: there is no server to install.
//!
//! * [`sqlite::Consign`] is the one handle: it begins transactions, publishes, starts workers.
//! * [`Publish`] has options: due later, of use for a while, unique by a name. There are no
//!   priorities: what is urgent has a topic, and a subscription, of its own.
//! * [`cron()`] publishes a message again and again.
//! * [`derive@Message`] makes a struct, or an enum of structs, a message.
//! * [`Projection`] keeps a read model; [`Sum`] is the commonest one, without SQL.
//! * [`stream`] subscribes a projection under a name: it reads everything, in order.
//! * [`queue`] subscribes a handler under a name, an `async fn`: each message is handled by one of
//!   those who share it; [`Workers`] shows both.

mod builder;
mod consign;
mod operate;
mod workers;

pub use consign_core::{
    AnyOrder, Backfill, Batch, Changes, Delivery, Envelope, Error, Event, Freshness, HandlerResult,
    Key, Kind, Message, MessageId, Offset, Order, Outbox, Partition, Projection, Publish,
    Published, Reason, Receipt, Result, Resume, Retry, Tx, Upkeep, Verdict,
};
/// # Examples
/// ```
/// use consign::Message;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Message)]
/// #[message(kind = "article.published", topic = "articles", key = author_id)]
/// struct ArticlePublished {
///     article_id: i64,
///     author_id: i64,
/// }
///
/// #[derive(Serialize, Deserialize, Message)]
/// #[message(kind = "article.deleted", version = 2, topic = "articles", key = (self.author.0))]
/// struct ArticleDeleted {
///     author: (i64, String),
/// }
///
/// #[derive(Message)] // no serde: the stored kind says which variant it is
/// enum ArticleEvent {
///     Published(ArticlePublished),
///     Deleted(ArticleDeleted),
/// }
///
/// let event = ArticleEvent::from(ArticlePublished { article_id: 1, author_id: 7 });
/// assert_eq!(event.kind().name, "article.published");
/// assert_eq!(event.key()?, Some(consign::Key::new("7")?));
/// # Ok::<(), consign::Error>(())
/// ```
pub use consign_macros::Message;
pub use consign_sql::{
    CatchUp, DeadLetter, DeadLetters, ParkedKey, Rebuild, Request, RequestStatus, Selection,
    SubscriptionState, SubscriptionStatus, Sum, SumInto, Value,
};
pub use consign_worker::{
    Cron, Deliveries, FromDelivery, FromRef, Missed, Queue, Rate, Running, State, Stream, Tick,
    cron, queue, stream,
};

#[cfg(feature = "tower")]
pub use consign_worker::{Call, Calls};

pub use self::builder::{Builder, Topic, topic};
pub use self::workers::{NothingSubscribed, Subscribed, Workers};

/// The names of SQLite: `use consign::sqlite::{Consign, Tx};`.
pub mod sqlite {
    pub use crate::consign::Consign;
    #[cfg(feature = "rusqlite")]
    pub use consign_sql::Run;
    pub use consign_sql::Transaction;
    /// What [`Run::run`] lends a connection of.
    #[cfg(feature = "rusqlite")]
    pub use rusqlite;

    /// The worker's transaction, lent to a projection; derefs to sqlx's connection.
    pub type Tx = crate::Tx<sqlx::SqliteConnection>;
}

/// What the derive macro writes calls to; not API.
#[doc(hidden)]
pub use consign_core::__private;

/// The program of README.md, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
