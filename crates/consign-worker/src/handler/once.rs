//! How each argument of a handler is had, and that there is one `Tx` to be had.

/// Marks an argument that [`FromDelivery`](super::FromDelivery) makes.
#[derive(Debug)]
pub enum ViaDelivery {}

/// Marks the delivery of the one message.
#[derive(Debug)]
pub enum ViaMessage {}

/// Marks the transaction.
#[derive(Debug)]
pub enum ViaTx {}

/// The transaction is still there.
#[derive(Debug)]
pub enum Untaken {}

/// The transaction went to an argument.
#[derive(Debug)]
pub enum Taken {}

/// What is left of the transaction after an argument that is had in this way.
///
/// Types and no number, so that a second `Tx` is refused where every other mistake in the arguments
/// is: by `cargo check`, at `subscribe`.
#[diagnostic::on_unimplemented(
    message = "a handler takes `Tx` once",
    label = "a second `Tx` among its arguments",
    note = "there is one transaction a call, and all that is written through it commits together"
)]
pub trait Via<Before> {
    /// After it.
    type After;
}

impl<Before> Via<Before> for ViaDelivery {
    type After = Before;
}

impl<Before> Via<Before> for ViaMessage {
    type After = Before;
}

impl Via<Untaken> for ViaTx {
    type After = Taken;
}

/// All arguments of a handler, one after the other: `(First, (Second, ()))`.
pub trait Ways<Before> {
    /// After the last one.
    type After: Left;
}

impl<Before: Left> Ways<Before> for () {
    type After = Before;
}

impl<Before, V, Rest> Ways<Before> for (V, Rest)
where
    V: Via<Before>,
    Rest: Ways<V::After>,
{
    type After = Rest::After;
}

/// What is left of the transaction in the end.
pub trait Left {
    /// An argument took it.
    const TAKEN: bool;
}

impl Left for Untaken {
    const TAKEN: bool = false;
}

impl Left for Taken {
    const TAKEN: bool = true;
}
