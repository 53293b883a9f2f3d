//! A projection as the handler of a queue.

use super::function::Boxed;
use super::{Form, Handler, HandlerFn};
use crate::effect::Subject;
use crate::tidy::Tidy;
use consign_core::{AnyOrder, Batch, BoxFuture, Event, HandlerResult, Projection, Tx};
use std::sync::Arc;

/// Marks a projection, where [`HandlerFn`] takes functions and projections alike.
#[derive(Debug)]
pub enum ViaProjection {}

/// A projection whose messages may come in any order.
#[derive(Debug)]
pub struct AsHandler<P>(pub(crate) P);

impl<P: AnyOrder + Send + Sync + 'static> HandlerFn<ViaProjection> for P {
    type Answer = BoxFuture<'static, HandlerResult>;
    type Work = AsHandler<P>;

    fn work(self, _: Boxed<Self::Answer>) -> AsHandler<P> {
        AsHandler(self)
    }
}

/// A projection at work for a queue.
#[derive(Debug)]
pub(crate) struct Applies<P> {
    pub(crate) subject: Arc<Subject<P>>,
    /// Told of what was applied.
    pub(crate) tidy: Arc<Tidy>,
}

impl<C, P> Handler<C> for Applies<P>
where
    C: Send + 'static,
    P: Projection<Tx<C>>,
{
    type Message = P::Event;
    const FORM: Form = Form { batch: true, tx: true };
    const IS_PROJECTION: bool = true;

    fn call(
        &self,
        messages: Vec<Event<P::Event>>,
        tx: Option<Tx<C>>,
    ) -> BoxFuture<'_, HandlerResult> {
        let tx = tx.expect("a handler whose form says `tx` is called with one");
        let count = messages.len();
        Box::pin(async move {
            self.subject.projection.apply(Batch::new(messages), tx).await?;
            self.tidy.tell(|due| due.applied(count));
            Ok(())
        })
    }
}
