//! Layers of tower around a queue's handler.

use crate::handler::{Form, Handler};
use consign_core::{BoxError, BoxFuture, Delivery, Event, HandlerResult, Tx, Verdict};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::util::{BoxCloneSyncService, ServiceExt};
use tower::{Layer, Service};

/// One call of a handler, as the layers around it see it; see
/// [`Queue::layer`](crate::Queue::layer).
pub struct Call {
    subscription: Arc<str>,
    deliveries: Vec<Delivery>,
    /// Begins when it is polled.
    work: BoxFuture<'static, HandlerResult>,
}

impl Call {
    /// The name of the subscription.
    #[must_use]
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// What is known of its messages: of one, or of each in a batch.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        &self.deliveries
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, deliveries, .. } = self;
        let mut debug = f.debug_struct("Call");
        debug.field("subscription", subscription).field("deliveries", deliveries);
        debug.finish_non_exhaustive()
    }
}

/// A handler with the layers around it so far: the service that the next layer wraps.
#[derive(Clone, Debug)]
pub struct Calls(BoxCloneSyncService<Call, (), BoxError>);

impl Service<Call> for Calls {
    type Response = ();
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<(), BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.0.call(call)
    }
}

impl Calls {
    /// The handler itself.
    pub(crate) fn innermost() -> Self {
        Self(BoxCloneSyncService::new(tower::service_fn(handle)))
    }

    pub(crate) fn layer<L>(self, layer: &L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Call, Response = (), Error: Into<BoxError>, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let service = layer.layer(self).map_err(|error| -> BoxError { error.into() });
        Self(BoxCloneSyncService::new(service))
    }
}

async fn handle(call: Call) -> Result<(), BoxError> {
    call.work.await.map_err(|verdict| match verdict {
        Verdict::Retry(error) => error,
        verdict => Answered(verdict).into(),
    })
}

/// A verdict on its way through the layers, to whom it is an error.
#[derive(Debug)]
struct Answered(Verdict);

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Verdict::Snooze(wait) => write!(f, "it asked to be called again in {wait:?}"),
            Verdict::Reject(why) => write!(f, "it was rejected: {why}"),
            Verdict::Discard(why) => write!(f, "it was discarded: {why}"),
            verdict => write!(f, "{verdict:?}"),
        }
    }
}

impl std::error::Error for Answered {}

fn verdict(error: BoxError) -> Verdict {
    error.downcast::<Answered>().map_or_else(Verdict::Retry, |answered| answered.0)
}

/// A handler that is called through layers.
#[derive(Debug)]
pub(crate) struct Layered<H> {
    subscription: Arc<str>,
    handler: Arc<H>,
    calls: Calls,
}

impl<H> Layered<H> {
    pub(crate) fn new(subscription: &str, handler: Arc<H>, calls: Calls) -> Self {
        Self { subscription: subscription.into(), handler, calls }
    }
}

impl<C: Send + 'static, H: Handler<C>> Handler<C> for Layered<H> {
    type Message = H::Message;
    const FORM: Form = H::FORM;
    const IS_PROJECTION: bool = H::IS_PROJECTION;

    fn call(
        &self,
        messages: Vec<Event<H::Message>>,
        tx: Option<Tx<C>>,
    ) -> BoxFuture<'_, HandlerResult> {
        let deliveries = messages.iter().map(|message| message.delivery.clone()).collect();
        let (subscription, handler) = (Arc::clone(&self.subscription), Arc::clone(&self.handler));
        let work = Box::pin(async move { handler.call(messages, tx).await });
        let called = self.calls.clone().oneshot(Call { subscription, deliveries, work });
        Box::pin(async move { called.await.map_err(verdict) })
    }
}
