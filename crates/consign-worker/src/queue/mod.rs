//! One queue at work: each message is handled by one, and settled on its own.

mod call;
mod ending;
mod engine;
mod expired;
pub(crate) mod fate;
mod group;
mod holding;
pub(crate) mod item;
mod jobs;
pub(crate) mod judge;
mod lanes;
mod limits;
pub(crate) mod outage;
mod owning;
mod part;
mod retries;
mod stretch;
mod window;

use crate::handler::Handler;
use crate::queue_builder::QueueOptions;
use crate::subscription::Shared;
use consign_core::{Driver, QueueLedger, SubscriptionId};
use std::sync::Arc;

/// The layers around a handler.
#[cfg(feature = "tower")]
pub(crate) type Layers = Option<crate::layer::Calls>;
/// Without the feature there are none.
#[cfg(not(feature = "tower"))]
pub(crate) type Layers = Option<std::convert::Infallible>;

/// Which subscription it is.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) of: SubscriptionId,
}

/// Works on a queue until the end is asked for.
pub(crate) async fn run<L, D, H>(
    subject: Named,
    handler: Arc<H>,
    (options, layers): (QueueOptions, Layers),
    shared: Shared<L, D>,
) where
    L: QueueLedger,
    D: Driver,
    H: Handler<L::Connection>,
{
    match layers {
        None => engine::Engine::new(subject, handler, options, shared).run().await,
        #[cfg(feature = "tower")]
        Some(calls) => {
            let handler = crate::layer::Layered::new(&subject.name, handler, calls);
            engine::Engine::new(subject, Arc::new(handler), options, shared).run().await;
        }
    }
}
