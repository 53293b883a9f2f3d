//! What is subscribed as a queue: a handler under a name, and its options.

use crate::handler::{Arguments, AsHandler, Bound, Function, HandlerFn, HandlerOutput};
#[cfg(feature = "tower")]
use crate::layer::{Call, Calls};
use crate::projected;
use crate::queue::{self, Layers, Named};
use crate::rate::Rate;
use crate::subscription::{DynSubscription, Shared, Subscribe, Subscription, check_projection};
use consign_core::{
    BoxFuture, Driver, HandlerResult, Message, NewSubscription, Order, Projection, QueueLedger,
    Reads, Result, Retry, SubscriptionId, SubscriptionName, Topic, Tx,
};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// Reads a topic as a queue: each message is handled by one of those who share it, and settled on
/// its own.
///
/// A handler is an `async fn` whose first argument is the message, or `Vec<M>` or `Batch<M>` of
/// them; then come, in any order, up to eight of [`State`](crate::State),
/// [`Delivery`](consign_core::Delivery), [`Tx`], and types with
/// [`FromDelivery`](crate::FromDelivery). With `Tx` its effects commit together with the record that
/// they happened; without, it is called at least once, with the same id each time. A projection with
/// [`AnyOrder`](consign_core::AnyOrder) is a handler, too.
///
/// Several processes that name the same subscription share its messages. A new one begins where the
/// log ends, without [`Queue::from_start`].
pub fn queue<F, A>(name: &str, handler: F) -> Queue<F::Work>
where
    F: HandlerFn<A>,
    F::Answer: Future + Send + 'static,
    <F::Answer as Future>::Output: HandlerOutput,
{
    let boxed = |answer: F::Answer| -> BoxFuture<'static, HandlerResult> {
        Box::pin(async { answer.await.into_result() })
    };
    Queue {
        name: name.to_owned(),
        work: handler.work(boxed),
        options: QueueOptions::default(),
        layers: None,
    }
}

/// A handler under a name; see [`queue`].
#[must_use = "give it to `subscribe`"]
#[derive(Debug)]
pub struct Queue<W> {
    name: String,
    work: W,
    options: QueueOptions,
    /// The layers around its handler.
    layers: Layers,
}

/// How a queue works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueOptions {
    /// Calls at the same time, at least 1; for handlers without `Tx`.
    pub(crate) concurrency: usize,
    /// The same in all processes together.
    pub(crate) concurrency_in_all: Option<NonZeroUsize>,
    pub(crate) rate: Option<Rate>,
    /// Messages of a call, at least 1; for handlers that take a batch.
    pub(crate) batch_max: usize,
    pub(crate) retry: Retry,
    pub(crate) order: Order,
    /// How long one call may take.
    pub(crate) timeout: Duration,
    /// A new subscription reads what the log still has.
    pub(crate) from_start: bool,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            concurrency: 16,
            concurrency_in_all: None,
            rate: None,
            batch_max: usize::MAX,
            retry: Retry::default(),
            order: Order::default(),
            timeout: Duration::from_secs(30),
            from_start: false,
        }
    }
}

impl<W> Queue<W> {
    /// So many calls at the same time in this process (at least 1), 16 without this.
    ///
    /// For handlers without `Tx`, who wait for others: with `Tx` one call follows the other, since
    /// SQLite has one writer. Messages of one key are handled one after the other in any case.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.options.concurrency = calls.max(1);
        self
    }

    /// So many calls at the same time in all processes of the subscription together (at least 1);
    /// without this only [`Queue::concurrency`] bounds them, in each process. Of one process at a
    /// time with 1.
    ///
    /// Whoever owns partitions has an even share; where there are more processes than calls, the
    /// others stand by. When a process comes or goes, what runs already counts as it did before:
    /// calls that take longer than 0.3 s may be more than these for as long as they last. Give all
    /// processes the same number. There is no bound for the messages of one key: they are handled
    /// one after the other, in order.
    pub fn concurrency_in_all(mut self, calls: usize) -> Self {
        self.options.concurrency_in_all = NonZeroUsize::new(calls.max(1));
        self
    }

    /// Begins with so many messages a second in all processes of the subscription together; what
    /// has to wait counts no attempt, and holds no transaction open. Each try counts.
    ///
    /// A process has of the rate what it has of the partitions. So in no while begin more than the
    /// rate times that while, the burst, and one a process; and there may be fewer where messages
    /// are not spread evenly over keys: those of one key have the rate of the process that owns
    /// its partition. Give all processes the same rate.
    ///
    /// # Examples
    /// ```no_run
    /// use consign_worker::{Rate, queue};
    /// # use consign_core::{HandlerResult, Message};
    /// # async fn receipt_mail<M: Message>(_: M) -> HandlerResult { Ok(()) }
    /// # fn subscribe<M: Message>() {
    /// let mailer = queue("mailer", receipt_mail::<M>).rate(Rate::per_second(14).burst(50));
    /// # drop(mailer);
    /// # }
    /// ```
    pub fn rate(mut self, rate: Rate) -> Self {
        self.options.rate = Some(rate);
        self
    }

    /// At most so many messages in one call (at least 1), for handlers of `Vec<M>` or `Batch<M>`.
    /// Without this, with `Tx` the clock alone decides, as for a stream.
    pub fn batch_max(mut self, messages: usize) -> Self {
        self.options.batch_max = messages.max(1);
        self
    }

    /// How often a message is tried that failed, and how long it waits in between.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options.retry = retry;
        self
    }

    /// What becomes of later messages while one waits for its retry; [`Order::ParkKey`] without
    /// this.
    pub fn order(mut self, order: Order) -> Self {
        self.options.order = order;
        self
    }

    /// How long one call may take, 30 s without this; then it has failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// At its very first start it reads what the log still has; without this, what is published
    /// from then on.
    pub fn from_start(mut self) -> Self {
        self.options.from_start = true;
        self
    }

    /// Puts a layer of tower around the handler: each call goes through it, one of several messages
    /// as one. Of several layers the last one is the outermost, as with axum's `Router`.
    ///
    /// An error of the layer itself is a [`Verdict::Retry`](consign_core::Verdict): again by policy.
    /// What the handler answers passes through a layer as an error, and is what it was as long as no
    /// layer replaces it. A layer that lets calls wait, as a concurrency limit does, is for handlers
    /// without `Tx`: others would hold the write lock meanwhile. [`Queue::timeout`] bounds a call
    /// with all of its layers.
    ///
    /// `examples/tower_layers.rs` has a timeout and a line of its own for each call.
    #[cfg(feature = "tower")]
    pub fn layer<T>(mut self, layer: T) -> Self
    where
        T: tower::Layer<Calls>,
        T::Service: tower::Service<
                Call,
                Response = (),
                Error: Into<consign_core::BoxError>,
                Future: Send + 'static,
            > + Clone
            + Send
            + Sync
            + 'static,
    {
        let calls = self.layers.take().unwrap_or_else(Calls::innermost);
        self.layers = Some(calls.layer(&layer));
        self
    }

    fn named(&self, of: SubscriptionId) -> (Named, (QueueOptions, Layers)) {
        (Named { name: self.name.clone(), of }, (self.options, self.layers.clone()))
    }

    fn describe<M: Message>(&self, is_projection: bool) -> Result<NewSubscription> {
        Ok(NewSubscription {
            name: SubscriptionName::new(&self.name)?,
            topic: Topic::new(M::TOPIC)?,
            reads: Reads::Queue,
            is_projection,
            kinds: M::KINDS.to_vec(),
        })
    }
}

impl<L, D, S, V, A> Subscribe<L, D, S, V> for Queue<Function<A>>
where
    L: QueueLedger,
    D: Driver,
    S: Send + Sync + 'static,
    A: Arguments<S, L::Connection, V> + 'static,
    V: 'static,
{
    fn subscription(self, state: &Arc<S>) -> Subscription<L, D> {
        let Self { name, work, options, layers } = self;
        let work = Arc::new(Bound::new(work, Arc::clone(state)));
        Subscription::of(Queue { name, work, options, layers })
    }
}

impl<L, D, S, V, A> DynSubscription<L, D> for Queue<Arc<Bound<S, A, V>>>
where
    L: QueueLedger,
    D: Driver,
    S: Send + Sync + 'static,
    A: Arguments<S, L::Connection, V> + 'static,
    V: 'static,
{
    fn describe(&self) -> Result<NewSubscription> {
        self.describe::<A::Message>(false)
    }

    fn check<'a>(&'a self, _: &'a L) -> BoxFuture<'a, Result> {
        Box::pin(async { Ok(()) })
    }

    fn timeout(&self) -> Duration {
        self.options.timeout
    }

    fn run(self: Arc<Self>, of: SubscriptionId, shared: Shared<L, D>) -> BoxFuture<'static, ()> {
        let (named, with) = self.named(of);
        Box::pin(queue::run(named, Arc::clone(&self.work), with, shared))
    }
}

impl<L, D, S, P> Subscribe<L, D, S, ()> for Queue<AsHandler<P>>
where
    L: QueueLedger,
    D: Driver,
    P: Projection<Tx<L::Connection>>,
{
    fn subscription(self, _: &Arc<S>) -> Subscription<L, D> {
        let Self { name, work: AsHandler(projection), options, layers } = self;
        let work = AsHandler(Arc::new(projection));
        Subscription::of(Queue { name, work, options, layers })
    }
}

impl<L, D, P> DynSubscription<L, D> for Queue<AsHandler<Arc<P>>>
where
    L: QueueLedger,
    D: Driver,
    P: Projection<Tx<L::Connection>>,
{
    fn describe(&self) -> Result<NewSubscription> {
        self.describe::<P::Event>(true)
    }

    fn check<'a>(&'a self, ledger: &'a L) -> BoxFuture<'a, Result> {
        Box::pin(check_projection(ledger, &self.name, &*self.work.0))
    }

    fn timeout(&self) -> Duration {
        self.options.timeout
    }

    fn run(self: Arc<Self>, of: SubscriptionId, shared: Shared<L, D>) -> BoxFuture<'static, ()> {
        let (named, with) = self.named(of);
        Box::pin(projected::run(named, Arc::clone(&self.work.0), with, shared))
    }
}
