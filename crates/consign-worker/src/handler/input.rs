//! The first argument of a handler: one message, or several.

use consign_core::{Batch, Event, Message};

/// Marks a handler that takes one message.
#[derive(Debug)]
pub enum One {}

/// Marks a handler that takes a batch.
#[derive(Debug)]
pub enum Many {}

/// The first argument of a handler: `M`, `Vec<M>` or `Batch<M>`; `Mode` is inferred.
#[diagnostic::on_unimplemented(
    message = "a handler's first argument is a message, a `Vec` or a `Batch` of messages, not `{Self}`",
    label = "not a message"
)]
pub trait Input<Mode>: Sized + Send {
    /// What it holds.
    type Message: Message;
    /// Whether it holds several.
    const BATCH: bool;

    /// Takes what is handed over.
    fn input(messages: Vec<Event<Self::Message>>) -> Self;
}

impl<M: Message> Input<One> for M {
    type Message = M;
    const BATCH: bool = false;

    fn input(mut messages: Vec<Event<M>>) -> M {
        assert_eq!(messages.len(), 1, "this handler takes one message a call");
        messages.remove(0).into_inner()
    }
}

impl<M: Message> Input<Many> for Batch<M> {
    type Message = M;
    const BATCH: bool = true;

    fn input(messages: Vec<Event<M>>) -> Self {
        Self::new(messages)
    }
}

impl<M: Message> Input<Many> for Vec<M> {
    type Message = M;
    const BATCH: bool = true;

    fn input(messages: Vec<Event<M>>) -> Self {
        messages.into_iter().map(Event::into_inner).collect()
    }
}
