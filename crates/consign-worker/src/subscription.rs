//! What is subscribed: a projection under a name, before and after its type is forgotten.

use crate::effect::Subject;
use crate::engine::Engine;
use crate::pulse::Pulse;
use crate::stop::Stop;
use consign_core::{
    BoxFuture, Driver, Error, Ledger, Lent, Message, NewSubscription, Order, Projection,
    QueueLedger, Reads, Result, Retry, SubscriptionId, SubscriptionName, Topic, Tx, WorkerId,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Reads a topic as a stream, into a projection: a batch at a time, in order, exactly once.
///
/// Several processes that name the same subscription share its partitions.
pub fn stream<P>(name: &str, projection: P) -> Stream<P> {
    Stream { name: name.to_owned(), projection, options: Options::default() }
}

/// A projection under a name; see [`stream`].
#[must_use = "give it to `subscribe`"]
#[derive(Debug)]
pub struct Stream<P> {
    name: String,
    projection: P,
    options: Options,
}

/// How a subscription works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) batch_max: usize,
    pub(crate) timeout: Duration,
    pub(crate) retry: Retry,
    pub(crate) order: Order,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_max: usize::MAX,
            timeout: Duration::from_secs(30),
            retry: Retry::default(),
            order: Order::default(),
        }
    }
}

impl<P> Stream<P> {
    /// At most so many messages in one transaction (at least 1). Without this the clock alone
    /// decides: a transaction holds the write lock for about as long as a sync takes here.
    pub fn batch_max(mut self, messages: usize) -> Self {
        self.options.batch_max = messages.max(1);
        self
    }

    /// How long one call of the projection may take, 30 s without this; then its transaction is
    /// rolled back and the batch tried again.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
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
}

/// What `subscribe` takes: `stream(..)` or `queue(..)`, over the ledger `L` and the driver `D`, with
/// the state `S`. `V` (how a handler's arguments are had) is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a subscription of this database",
    note = "give `queue(\"name\", handler)`, or `stream(\"name\", projection)` with \
            `impl Projection<Tx> for` the projection"
)]
pub trait Subscribe<L: Ledger, D: Driver, S, V> {
    /// Forgets the types of what is subscribed.
    #[doc(hidden)]
    fn subscription(self, state: &Arc<S>) -> Subscription<L, D>;
}

impl<L, D, S, P> Subscribe<L, D, S, ()> for Stream<P>
where
    L: QueueLedger,
    D: Driver,
    P: Projection<Tx<L::Connection>>,
{
    fn subscription(self, _: &Arc<S>) -> Subscription<L, D> {
        let Self { name, projection, options } = self;
        Subscription::of(Stream { name, projection: Arc::new(projection), options })
    }
}

/// A named, durable reader of one topic, after its types are forgotten.
pub struct Subscription<L, D>(Arc<dyn DynSubscription<L, D>>);

/// What a running subscription shares with the others of its process.
pub(crate) struct Shared<L, D> {
    pub(crate) ledger: Arc<L>,
    pub(crate) driver: Arc<D>,
    pub(crate) stop: Stop,
    /// Who this process is; a new identity owns nothing yet.
    pub(crate) me: watch::Receiver<WorkerId>,
    /// The consumer's.
    pub(crate) pulse: Pulse,
}

impl<L, D> Shared<L, D> {
    /// Sleeps, until the end is asked for at the latest; nobody wonders.
    pub(crate) async fn sleep(&mut self, wait: Duration) {
        self.pulse.resting(self.stop.sleep(wait)).await;
    }
}

impl<L, D> Clone for Shared<L, D> {
    fn clone(&self) -> Self {
        Self {
            ledger: Arc::clone(&self.ledger),
            driver: Arc::clone(&self.driver),
            stop: self.stop.clone(),
            me: self.me.clone(),
            pulse: self.pulse.clone(),
        }
    }
}

/// A subscription whose types are forgotten.
pub(crate) trait DynSubscription<L, D>: Send + Sync {
    fn describe(&self) -> Result<NewSubscription>;
    fn check<'a>(&'a self, ledger: &'a L) -> BoxFuture<'a, Result>;
    /// How long one call may take.
    fn timeout(&self) -> Duration;
    /// Runs a consumer; another one may have been run before.
    fn run(self: Arc<Self>, of: SubscriptionId, shared: Shared<L, D>) -> BoxFuture<'static, ()>;
}

impl<L: Ledger, D: Driver> Subscription<L, D> {
    pub(crate) fn of(subscription: impl DynSubscription<L, D> + 'static) -> Self {
        Self(Arc::new(subscription))
    }

    pub(crate) fn describe(&self) -> Result<NewSubscription> {
        self.0.describe()
    }

    pub(crate) async fn check(&self, ledger: &L) -> Result {
        self.0.check(ledger).await
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.0.timeout()
    }

    pub(crate) fn run(&self, of: SubscriptionId, shared: Shared<L, D>) -> BoxFuture<'static, ()> {
        Arc::clone(&self.0).run(of, shared)
    }
}

impl<L, D, P> DynSubscription<L, D> for Stream<Arc<P>>
where
    L: QueueLedger,
    D: Driver,
    P: Projection<Tx<L::Connection>>,
{
    fn describe(&self) -> Result<NewSubscription> {
        Ok(NewSubscription {
            name: SubscriptionName::new(&self.name)?,
            topic: Topic::new(P::Event::TOPIC)?,
            reads: Reads::Stream,
            is_projection: true,
            kinds: P::Event::KINDS.to_vec(),
        })
    }

    fn check<'a>(&'a self, ledger: &'a L) -> BoxFuture<'a, Result> {
        Box::pin(check_projection(ledger, &self.name, &*self.projection))
    }

    fn timeout(&self) -> Duration {
        self.options.timeout
    }

    fn run(self: Arc<Self>, of: SubscriptionId, shared: Shared<L, D>) -> BoxFuture<'static, ()> {
        let Self { name, projection, options } = &*self;
        let (name, projection, options) = (name.clone(), Arc::clone(projection), *options);
        let (timeout, stop, pulse) = (options.timeout, shared.stop.clone(), shared.pulse.clone());
        let subject = Subject { name, of, projection, timeout, stop, pulse };
        Box::pin(Engine::new(subject, options, shared).run())
    }
}

/// Asks a projection whether it has what it needs, before anything is read.
pub(crate) async fn check_projection<L, P>(ledger: &L, name: &str, projection: &P) -> Result
where
    L: Ledger,
    P: Projection<Tx<L::Connection>>,
{
    let (lent, tx) = Lent::lend(ledger.snapshot().await?);
    let checked = projection.check(tx).await;
    lent.take_back().map_err(|_| kept(name))?;
    checked
}

/// The projection returned, and its transaction did not come back.
pub(crate) fn kept(name: &str) -> Error {
    let message = format!(
        "the projection of {name} kept its `Tx` after it had returned, so nothing was committed; \
         until it lets go of it, nobody can write: finish with `tx` before returning"
    );
    Error::new("tx-kept", message)
}

impl<L, D> fmt::Debug for Subscription<L, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")
    }
}
