//! Projections: stream handlers that keep a read model.

use crate::{BoxFuture, Delivery, Error, HandlerResult, Message, Outbox, RESUME_BYTES_MAX, Result};
use std::fmt;
use std::future::Future;
use std::str::FromStr;

/// Keeps a read model: applied a batch at a time, in order, exactly once, rebuildable.
///
/// `Tx` is `consign::sqlite::Tx`: write `impl Projection<Tx> for Counts`, and only the import says
/// which database it is. `&self`, because memory must not outlive a batch that was rolled back.
///
/// # Guarantee
/// What `apply` writes through its `Tx` and the move of the cursor commit together: each message
/// has its effect exactly once, whatever is killed, cut off or restarted.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projection over `{Tx}`",
    label = "this database gives its projections a `{Tx}`",
    note = "write `impl Projection<Tx> for {Self}` with the `Tx` of the database that is opened: \
            `consign::sqlite::Tx`"
)]
pub trait Projection<Tx: Outbox>: Send + Sync + 'static {
    /// What it reads; an enum reads several kinds of one topic.
    type Event: Message;

    /// Applies a batch. The cursor moves in the same transaction.
    ///
    /// Must not publish (it is refused): a rebuild may replay the log. An error means: again, the
    /// same messages, after a backoff.
    fn apply(
        &self,
        batch: Batch<Self::Event>,
        tx: Tx,
    ) -> impl Future<Output = HandlerResult> + Send;

    /// Empties the read model; called before a rebuild.
    fn reset(&self, tx: Tx) -> impl Future<Output = HandlerResult> + Send;

    /// Brings in the rows that existed before the subscription, a piece at a time.
    ///
    /// `from` is what the last piece answered with [`Backfill::More`]; its progress commits with
    /// the piece. Events are applied after it has answered [`Backfill::Done`], from where the log
    /// was in the transaction of the first piece; so a backfill in several pieces suits only
    /// projections that read the current row. The default says that there is nothing to bring in:
    /// the projection then reads the log from its start.
    fn backfill(
        &self,
        from: Option<Resume>,
        tx: Tx,
    ) -> impl Future<Output = HandlerResult<Backfill>> + Send {
        let _ = (from, tx);
        async { Ok(Backfill::None) }
    }

    /// Tidies the read model in transactions of its own, such as the merges of a search index.
    ///
    /// Called after batches, and again until it answers [`Upkeep::Done`]. Each call should last a
    /// millisecond or two, since requests wait meanwhile. The default says that there is nothing to
    /// tidy, and is not asked again.
    fn upkeep(&self, tx: Tx) -> impl Future<Output = HandlerResult<Upkeep>> + Send {
        drop(tx);
        async { Ok(Upkeep::None) }
    }

    /// What `Sum` has instead of `backfill`: it reads in a snapshot, which holds no write lock, and
    /// answers what a short transaction then writes. Events are applied from where the log was in
    /// the snapshot.
    #[doc(hidden)]
    fn load(&self, snapshot: Tx) -> impl Future<Output = HandlerResult<Option<Load<Tx>>>> + Send {
        drop(snapshot);
        async { Ok(None) }
    }

    /// Looks at what it needs before anything is read; what it says is refused at start.
    #[doc(hidden)]
    fn check(&self, snapshot: Tx) -> impl Future<Output = Result> + Send {
        drop(snapshot);
        async { Ok(()) }
    }
}

/// Says of a projection that the order of its messages does not matter, so that it may be
/// subscribed as a queue, too.
///
/// Write `impl AnyOrder for Search {}` where `apply` ends with the same read model in whatever order
/// it is called: it adds up, as a `Sum`, or reads the current row. What only a later message may
/// overwrite needs a stream. A queue still applies each message once, and those of one key in order
/// as long as none of them fails.
pub trait AnyOrder {}

/// The second half of [`Projection::load`].
pub struct Load<Tx>(Box<dyn FnOnce(Tx) -> BoxFuture<'static, HandlerResult> + Send>);

impl<Tx> Load<Tx> {
    /// Keeps what is to be written.
    pub fn new<F>(write: impl FnOnce(Tx) -> F + Send + 'static) -> Self
    where
        F: Future<Output = HandlerResult> + Send + 'static,
    {
        Self(Box::new(|tx| Box::pin(write(tx))))
    }

    /// Writes it.
    pub async fn write(self, tx: Tx) -> HandlerResult {
        (self.0)(tx).await
    }
}

impl<Tx> fmt::Debug for Load<Tx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Load")
    }
}

/// How far a backfill has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backfill {
    /// There is none: the log is read from its start.
    None,
    /// Everything is in; events are applied from now on.
    Done,
    /// Call again, with this place.
    More(Resume),
}

/// Whether an upkeep has more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// There never is any.
    None,
    /// Nothing, until more batches were applied.
    Done,
    /// Call again, in another transaction.
    More,
}

/// Where a backfill goes on, as text of at most [`RESUME_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume(String);

impl Resume {
    /// Keeps a place, such as the last row's id.
    #[expect(clippy::needless_pass_by_value, reason = "an id is written as it stands")]
    pub fn at(place: impl ToString) -> Self {
        Self(place.to_string())
    }

    /// The place as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The place as what it was.
    ///
    /// # Errors
    /// What the type says of a text that it did not write.
    pub fn parse<T: FromStr>(&self) -> Result<T, T::Err> {
        self.0.parse()
    }

    /// Refuses a place that is too long to be kept.
    ///
    /// # Errors
    /// `resume-too-long`.
    #[doc(hidden)]
    pub fn checked(self) -> Result<Self> {
        if self.0.len() <= RESUME_BYTES_MAX {
            return Ok(self);
        }
        let message = format!("the place of a backfill has at most {RESUME_BYTES_MAX} bytes");
        Err(Error::new("resume-too-long", message))
    }
}

/// One message of a batch; derefs to the message.
#[derive(Clone, Debug)]
pub struct Event<M> {
    /// What is known of this hand-over.
    pub delivery: Delivery,
    message: M,
}

impl<M> Event<M> {
    #[doc(hidden)]
    pub fn new(delivery: Delivery, message: M) -> Self {
        Self { delivery, message }
    }

    /// The message alone.
    pub fn into_inner(self) -> M {
        self.message
    }
}

impl<M> std::ops::Deref for Event<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.message
    }
}

/// Messages, those of one key in the order they were published; never empty.
#[derive(Clone, Debug)]
pub struct Batch<M>(Vec<Event<M>>);

impl<M> Batch<M> {
    #[doc(hidden)]
    pub fn new(events: Vec<Event<M>>) -> Self {
        debug_assert!(!events.is_empty(), "a batch holds a message");
        Self(events)
    }

    /// The messages in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Event<M>> {
        self.0.iter()
    }

    /// How many there are, at least one.
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a, M> IntoIterator for &'a Batch<M> {
    type Item = &'a Event<M>;
    type IntoIter = std::slice::Iter<'a, Event<M>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<M> IntoIterator for Batch<M> {
    type Item = Event<M>;
    type IntoIter = std::vec::IntoIter<Event<M>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
