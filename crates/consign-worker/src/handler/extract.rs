//! The other arguments of a handler: state, delivery, transaction, and what users add.

use super::input::One;
use super::once::{ViaDelivery, ViaMessage, ViaTx};
use consign_core::{Delivery, Event, HandlerResult, Tx};
use std::fmt;

/// An argument of a handler, after the message. Implement it for your own types.
///
/// What it answers instead of an argument is the handler's answer: `?` means Retry by policy.
///
/// # Examples
/// ```
/// use consign_worker::{Deliveries, FromDelivery};
/// use consign_core::{HandlerResult, Key, Verdict};
///
/// /// Whose message it is.
/// struct Tenant(Key);
///
/// impl<S: Sync> FromDelivery<S> for Tenant {
///     async fn from_delivery(deliveries: Deliveries<'_>, _: &S) -> HandlerResult<Self> {
///         let key = deliveries.first().key.clone();
///         Ok(Self(key.ok_or_else(|| Verdict::reject("it has no key, so it is nobody's"))?))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a handler",
    label = "neither `State<T>`, `Tx` nor `Delivery` here",
    note = "after the message come `State<T>` (with `T: FromRef<{S}>`), `Delivery`, `Tx`, or a type with `impl FromDelivery<{S}>`",
    note = "`Delivery` tells of one message: with `Vec<M>` take `Batch<M>` instead, whose items carry theirs",
    note = "`Tx` is the one of the database that was opened: `consign::sqlite::Tx`",
    note = "axum's own `State` works too, with the feature `axum` of `consign`"
)]
pub trait FromDelivery<S>: Sized + Send {
    /// Makes the argument of what is known of the messages, and of the state.
    fn from_delivery(
        deliveries: Deliveries<'_>,
        state: &S,
    ) -> impl Future<Output = HandlerResult<Self>> + Send;
}

/// What is known of the messages of one call: of one, or of each in a batch.
#[derive(Clone, Copy)]
pub struct Deliveries<'a>(&'a (dyn Delivered + Sync));

impl<'a> Deliveries<'a> {
    pub(super) fn of<M: Sync>(events: &'a Vec<Event<M>>) -> Self {
        Self(events)
    }

    /// The first message's, which is the only one's where a handler takes one.
    ///
    /// # Panics
    /// Never: nothing is called without a message.
    #[must_use]
    pub fn first(&self) -> &'a Delivery {
        self.0.at(0)
    }

    /// Each message's, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a Delivery> + use<'a> {
        let delivered = self.0;
        (0..delivered.count()).map(|n| delivered.at(n))
    }
}

impl fmt::Debug for Deliveries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Lends the deliveries where they lie: a batch's are not copied for those who do not look.
trait Delivered {
    fn count(&self) -> usize;
    fn at(&self, n: usize) -> &Delivery;
}

impl<M> Delivered for Vec<Event<M>> {
    fn count(&self) -> usize {
        self.len()
    }

    fn at(&self, n: usize) -> &Delivery {
        &self[n].delivery
    }
}

/// A part of the state that was given to `with_state`.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<T>(pub T);

/// A part of a state; each type is a part of itself.
#[diagnostic::on_unimplemented(
    message = "the state `{S}` has no `{Self}` to give",
    label = "no part of `{S}`",
    note = "write `impl FromRef<{S}> for {Self}`, or give that state with `.with_state(..)` before `.subscribe(..)`"
)]
pub trait FromRef<S> {
    /// Takes the part out, mostly by a clone.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(state: &T) -> T {
        state.clone()
    }
}

impl<S: Sync, T: FromRef<S> + Send> FromDelivery<S> for State<T> {
    async fn from_delivery(_: Deliveries<'_>, state: &S) -> HandlerResult<Self> {
        Ok(Self(T::from_ref(state)))
    }
}

/// One extractor for requests and messages.
#[cfg(feature = "axum")]
impl<S: Sync, T: axum::extract::FromRef<S> + Send> FromDelivery<S> for axum::extract::State<T> {
    async fn from_delivery(_: Deliveries<'_>, state: &S) -> HandlerResult<Self> {
        Ok(Self(T::from_ref(state)))
    }
}

/// Any argument after the message: a user's ([`FromDelivery`]), or one that only the worker can
/// give; `Via` is inferred.
pub trait Extract<S, C: Send + 'static, Mode, Via>: Sized + Send {
    /// Takes it from what is at hand.
    fn extract(
        deliveries: Deliveries<'_>,
        state: &S,
        tx: &mut Option<Tx<C>>,
    ) -> impl Future<Output = HandlerResult<Self>> + Send;
}

impl<S, C, Mode, T> Extract<S, C, Mode, ViaDelivery> for T
where
    S: Sync,
    C: Send + 'static,
    T: FromDelivery<S>,
{
    async fn extract(
        deliveries: Deliveries<'_>,
        state: &S,
        _: &mut Option<Tx<C>>,
    ) -> HandlerResult<T> {
        T::from_delivery(deliveries, state).await
    }
}

impl<S: Sync, C: Send + 'static> Extract<S, C, One, ViaMessage> for Delivery {
    async fn extract(
        deliveries: Deliveries<'_>,
        _: &S,
        _: &mut Option<Tx<C>>,
    ) -> HandlerResult<Self> {
        Ok(deliveries.first().clone())
    }
}

impl<S: Sync, C: Send + 'static, Mode> Extract<S, C, Mode, ViaTx> for Tx<C> {
    async fn extract(_: Deliveries<'_>, _: &S, tx: &mut Option<Self>) -> HandlerResult<Self> {
        Ok(tx.take().expect("a handler whose form says `tx` is called with one"))
    }
}
