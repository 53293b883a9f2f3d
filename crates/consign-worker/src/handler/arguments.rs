//! The arguments of a handler together: a message, then extractors in any order.

use super::Form;
use super::extract::{Deliveries, Extract};
use super::input::Input;
use super::once::{Left, Untaken, Ways};
use consign_core::{Event, HandlerResult, Message, Tx};

/// A message, then up to 8 extractors in any order; how each one is had (`V`) is inferred.
///
/// It says what arguments may be, one by one, where [`HandlerFn`](super::HandlerFn) knows a
/// function's shape only: so a mistake is reported at the argument that is wrong.
pub trait Arguments<S, C: Send + 'static, V>: Sized + Send {
    /// What the handler reads.
    type Message: Message;
    /// What it asks of the worker.
    const FORM: Form;

    /// Gathers them.
    fn extract(
        messages: Vec<Event<Self::Message>>,
        state: &S,
        tx: Option<Tx<C>>,
    ) -> impl Future<Output = HandlerResult<Self>> + Send;
}

macro_rules! one_after_the_other {
    () => { () };
    ($via:ident $($rest:ident)*) => { ($via, one_after_the_other!($($rest)*)) };
}

macro_rules! arguments { ($(($($argument:ident $via:ident)*))*) => { $(
    #[expect(clippy::allow_attributes, reason = "whether a name is used depends on their number")]
    #[allow(non_snake_case, unused_variables, unused_mut)]
    impl<S, C, Mode, I, $($argument, $via,)*>
        Arguments<S, C, (Mode, one_after_the_other!($($via)*))> for (I, $($argument,)*)
    where
        S: Sync,
        C: Send + 'static,
        I: Input<Mode>,
        $($argument: Extract<S, C, Mode, $via>,)*
        one_after_the_other!($($via)*): Ways<Untaken>,
    {
        type Message = I::Message;
        const FORM: Form = Form {
            batch: I::BATCH,
            tx: <one_after_the_other!($($via)*) as Ways<Untaken>>::After::TAKEN,
        };

        async fn extract(
            messages: Vec<Event<I::Message>>,
            state: &S,
            mut tx: Option<Tx<C>>,
        ) -> HandlerResult<Self> {
            let deliveries = Deliveries::of(&messages);
            $(let $argument = $argument::extract(deliveries, state, &mut tx).await?;)*
            Ok((I::input(messages), $($argument,)*))
        }
    }
)* } }

arguments! {
    ()
    (A1 V1)
    (A1 V1 A2 V2)
    (A1 V1 A2 V2 A3 V3)
    (A1 V1 A2 V2 A3 V3 A4 V4)
    (A1 V1 A2 V2 A3 V3 A4 V4 A5 V5)
    (A1 V1 A2 V2 A3 V3 A4 V4 A5 V5 A6 V6)
    (A1 V1 A2 V2 A3 V3 A4 V4 A5 V5 A6 V6 A7 V7)
    (A1 V1 A2 V2 A3 V3 A4 V4 A5 V5 A6 V6 A7 V7 A8 V8)
}
