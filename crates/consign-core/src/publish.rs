//! Publishing: the message before it has an id, and the transaction it is written in.

use crate::{
    Error, HEADERS_BYTES_MAX, Key, Kind, Message, MessageId, PAYLOAD_BYTES_MAX,
    PUBLISH_MESSAGES_MAX, Result, Topic,
};
use bytes::Bytes;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::DerefMut;
use std::pin::Pin;

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

    /// Publishes several messages at once, at most [`PUBLISH_MESSAGES_MAX`].
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

    fn add_header(&mut self, name: &str, value: &str) -> Result {
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

fn too_large(kind: &str, found: usize) -> Error {
    let message = format!(
        "a payload has at most {PAYLOAD_BYTES_MAX} bytes, this {kind:?} has {found}: \
         publish the id of a row, not the row"
    );
    Error::new("payload-too-large", message)
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
    /// attribute; all headers together have at most [`HEADERS_BYTES_MAX`] bytes.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.each(|draft| draft.add_header(name, value))
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
