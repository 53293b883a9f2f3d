//! A function with the state that it was subscribed with.

use super::{Arguments, Form, Function, Handler};
use consign_core::{BoxFuture, Event, HandlerResult, Tx};
use std::marker::PhantomData;
use std::sync::Arc;

/// A function and its state; how its arguments are had (`V`) is known.
pub(crate) struct Bound<S, A, V> {
    function: Function<A>,
    state: Arc<S>,
    ways: PhantomData<fn(V)>,
}

impl<S, A, V> Bound<S, A, V> {
    pub(crate) fn new(function: Function<A>, state: Arc<S>) -> Self {
        Self { function, state, ways: PhantomData }
    }
}

impl<C, S, A, V> Handler<C> for Bound<S, A, V>
where
    C: Send + 'static,
    S: Send + Sync + 'static,
    A: Arguments<S, C, V> + 'static,
    V: 'static,
{
    type Message = A::Message;
    const FORM: Form = A::FORM;

    fn call(
        &self,
        messages: Vec<Event<A::Message>>,
        tx: Option<Tx<C>>,
    ) -> BoxFuture<'_, HandlerResult> {
        Box::pin(async move {
            let arguments = A::extract(messages, &self.state, tx).await?;
            self.function.call(arguments).await
        })
    }
}
