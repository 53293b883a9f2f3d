//! Handlers of queues: an `async fn` whose arguments say what it needs of the worker.

mod arguments;
mod bound;
mod extract;
mod function;
mod input;
mod once;
mod projection;
#[cfg(test)]
mod tests;

pub use arguments::Arguments;
pub use extract::{Deliveries, Extract, FromDelivery, FromRef, State};
pub use function::{Function, HandlerFn, HandlerOutput};
pub use input::Input;
pub use projection::AsHandler;

pub(crate) use bound::Bound;
pub(crate) use projection::Applies;

use consign_core::{BoxFuture, Event, HandlerResult, Message, Tx};

/// A handler of a queue after its arguments' types are forgotten.
///
/// # What an implementation must do
/// * One that takes no batch handles exactly one message a call.
/// * It lets go of its `Tx` before its future ends.
pub trait Handler<C: Send + 'static>: Send + Sync + 'static {
    /// What it reads; an enum reads several kinds of one topic.
    type Message: Message;
    /// What its signature asks of the worker.
    const FORM: Form;
    /// It is a projection: it publishes nothing, and its read model may be built anew.
    const IS_PROJECTION: bool = false;

    /// Handles messages; `tx` is there exactly when [`Form::tx`] says so.
    fn call(
        &self,
        messages: Vec<Event<Self::Message>>,
        tx: Option<Tx<C>>,
    ) -> BoxFuture<'_, HandlerResult>;
}

/// What a handler's signature asks of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// It takes `Vec<M>` or `Batch<M>`: several messages a call.
    pub batch: bool,
    /// It takes `Tx`: its effects commit with the ledger.
    pub tx: bool,
}
