//! Publishing: its options, and the transaction it is written in.

use crate::{
    Draft, DueTime, Error, Key, Message, MessageId, Result, SubscriptionName, Unique, Until,
};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::DerefMut;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

/// A boxed future that may be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A transaction to publish in: what `consign.begin()` gives.
///
/// It has these methods itself. The trait is for a function that writes and publishes wherever it
/// is called: it takes `tx: &mut impl Outbox<Target = SqliteConnection>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction that consign began",
    label = "neither a `Tx` nor a `Transaction` of consign",
    note = "projections take `consign::sqlite::Tx`; `consign.begin()` gives a `Transaction`",
    note = "in a transaction that sqlx began, publish with `consign.publish_in(&mut tx, &message)`"
)]
pub trait Outbox: DerefMut + Send {
    /// Writes into the log, in this transaction, at once; ids in the order of `drafts`.
    ///
    /// Must refuse when no transaction is open any more (the user's SQL may have ended it).
    #[doc(hidden)]
    fn put(&mut self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Vec<MessageId>>>;

    /// Publishes in this transaction: nobody sees the message before it commits.
    fn publish<M: Message>(&mut self, message: &M) -> Publish<'_, MessageId>
    where
        Self: Sized,
    {
        let drafts = Draft::new(message).map(|draft| vec![draft]);
        Publish::new(drafts, move |drafts| Box::pin(async move { Ok(self.put(drafts).await?[0]) }))
    }

    /// Publishes several messages at once, at most [`PUBLISH_MESSAGES_MAX`](crate::PUBLISH_MESSAGES_MAX).
    fn publish_all<'m, M: Message>(
        &mut self,
        messages: impl IntoIterator<Item = &'m M>,
    ) -> Publish<'_, Vec<MessageId>>
    where
        Self: Sized,
    {
        Publish::new(Draft::all(messages), move |drafts| self.put(drafts))
    }
}

type Put<'a, Answer> = Box<dyn FnOnce(Vec<Draft>) -> BoxFuture<'a, Result<Answer>> + Send + 'a>;

/// A publish with its options; `.await` does it. It borrows the transaction, not the message.
#[must_use = "nothing is published before `.await`"]
pub struct Publish<'a, Answer> {
    drafts: Result<Vec<Draft>>,
    put: Put<'a, Answer>,
}

impl<'a, Answer> Publish<'a, Answer> {
    #[doc(hidden)]
    pub fn new(
        drafts: Result<Vec<Draft>>,
        put: impl FnOnce(Vec<Draft>) -> BoxFuture<'a, Result<Answer>> + Send + 'a,
    ) -> Self {
        Self { drafts, put: Box::new(put) }
    }

    /// Takes this key instead of the one that the message names.
    #[expect(clippy::needless_pass_by_value, reason = "an id is written as it stands")]
    pub fn key(self, key: impl ToString) -> Self {
        let key = Key::new(key.to_string());
        self.each(|draft| {
            draft.key = Some(key.as_ref().map_err(Error::again)?.clone());
            Ok(())
        })
    }

    /// Adds a header that travels with the message, such as `traceparent` or a CloudEvents
    /// attribute; all headers together have at most [`HEADERS_BYTES_MAX`](crate::HEADERS_BYTES_MAX) bytes.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.each(|draft| draft.add_header(name, value))
    }

    /// Publishes now what is due after a while: it is stored in this transaction, and comes into the
    /// log, where subscriptions see it, when the time has come.
    ///
    /// Its place among the messages of its key is taken then, not now. Some process must run workers
    /// then, whichever: it waits for one. A receipt tells of no place in the log, since it has none
    /// yet; a handler's [`Delivery::age`](crate::Delivery::age) counts from when it was due.
    ///
    /// # Guarantee
    /// It comes once, and not before its time; where workers run, about when it is due.
    pub fn after(self, wait: Duration) -> Self {
        self.due(DueTime::After(wait))
    }

    /// The same as [`Publish::after`], at a time; one that has passed is now.
    pub fn at(self, due: SystemTime) -> Self {
        self.due(DueTime::At(due))
    }

    fn due(self, due: DueTime) -> Self {
        self.each(|draft| {
            draft.due = Some(due);
            Ok(())
        })
    }

    /// Says how long it is of use, from the publish, or from when it is due. A queue that would
    /// begin with it later gives it up: a dead letter whose reason is `expired`.
    ///
    /// A retry that would begin later is given up, too; a handler that runs is not cut short.
    /// Streams ignore it: they apply everything, and a projection that must not can read it. It
    /// travels as the header `expirytime`, a CloudEvents attribute.
    pub fn deliver_within(self, wait: Duration) -> Self {
        self.each(|draft| {
            draft.deliver_within = Some(wait);
            Ok(())
        })
    }

    /// Publishes nothing if a message of the same kind was published under this name less than
    /// `window` ago: it answers that one's id. (A receipt then tells of no message.)
    ///
    /// The window counts from the publish, also of what is due later, and the first publish says how
    /// long it is. All messages of a `publish_all` have the one name, so only the first is
    /// published.
    ///
    /// # Guarantee
    /// The name is taken with the transaction: one that rolls back leaves it free. Two that want the
    /// same name come one after the other, and the second sees what the first has committed.
    #[expect(clippy::needless_pass_by_value, reason = "an id is written as it stands")]
    pub fn unique_for(self, name: impl ToString, window: Duration) -> Self {
        self.unique(&name.to_string(), || Ok(Until::Passed(window)))
    }

    /// The same as [`Publish::unique_for`], until a subscription of this topic has come to an end
    /// with the message: applied it, discarded it, or made it a dead letter.
    ///
    /// As long as it waits, for its time, for a retry, or for somebody to run that subscription, the
    /// name is taken.
    #[expect(clippy::needless_pass_by_value, reason = "an id is written as it stands")]
    pub fn unique_until_handled(self, name: impl ToString, subscription: &str) -> Self {
        self.unique(&name.to_string(), || SubscriptionName::new(subscription).map(Until::HandledBy))
    }

    fn unique(self, name: &str, until: impl FnOnce() -> Result<Until>) -> Self {
        let unique =
            Key::new(name.to_owned()).and_then(|name| Ok(Unique { name, until: until()? }));
        self.each(|draft| {
            draft.unique = Some(unique.as_ref().map_err(Error::again)?.clone());
            Ok(())
        })
    }

    fn each(mut self, mut change: impl FnMut(&mut Draft) -> Result) -> Self {
        self.drafts = self.drafts.and_then(|mut drafts| {
            drafts.iter_mut().try_for_each(&mut change)?;
            Ok(drafts)
        });
        self
    }
}

impl<'a, Answer: Send + 'a> IntoFuture for Publish<'a, Answer> {
    type Output = Result<Answer>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { (self.put)(self.drafts?).await })
    }
}

impl<Answer> fmt::Debug for Publish<'_, Answer> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish").field("drafts", &self.drafts).finish_non_exhaustive()
    }
}
