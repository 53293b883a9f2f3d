//! What arguments a handler gets, without a database.

use super::{
    Arguments, Bound, Deliveries, Form, FromDelivery, FromRef, Function, Handler, HandlerFn, State,
};
use consign_core::__private::Bytes;
use consign_core::{
    Batch, BoxFuture, Delivery, Draft, Error, Event, HandlerResult, Key, Kind, Lent, Message,
    MessageId, Outbox, Result, Tx, Verdict,
};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

type Written = Vec<String>;

/// A transaction whose connection is a list of what was written.
#[derive(Debug, Default)]
struct Transaction(Written);

impl Deref for Transaction {
    type Target = Written;

    fn deref(&self) -> &Written {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Written {
        &mut self.0
    }
}

impl Outbox for Transaction {
    fn put(&mut self, _: Vec<Draft>) -> BoxFuture<'_, Result<Vec<MessageId>>> {
        Box::pin(async { Err(Error::new("refused", "nothing is published here")) })
    }
}

#[derive(Debug, PartialEq)]
struct Liked(u8);

impl Message for Liked {
    const TOPIC: &'static str = "likes";
    const KINDS: &'static [Kind] = &[Kind { name: "liked", version: 1 }];

    fn kind(&self) -> Kind {
        Self::KINDS[0]
    }

    fn key(&self) -> Result<Option<Key>> {
        Ok(None)
    }

    fn encode(&self) -> Result<Bytes> {
        Ok(vec![self.0].into())
    }

    fn decode(_: &str, _: u32, payload: &[u8]) -> Result<Self> {
        Ok(Self(payload[0]))
    }
}

fn liked(likes: impl IntoIterator<Item = u8>) -> Vec<Event<Liked>> {
    let event = |n: u8| {
        #[expect(clippy::default_trait_access, reason = "this crate does not name uuid's type")]
        let (id, headers) = (MessageId(Default::default()), Bytes::new());
        let (attempt, age) = (u32::from(n), Duration::ZERO);
        Event::new(Delivery { id, attempt, key: None, age, headers }, Liked(n))
    };
    likes.into_iter().map(event).collect()
}

/// A part of the state.
#[derive(Clone)]
struct Name(&'static str);

struct App {
    name: Name,
}

impl FromRef<App> for Name {
    fn from_ref(app: &App) -> Self {
        app.name.clone()
    }
}

/// The attempts of all messages of a call.
struct Attempts(Vec<u32>);

impl<S: Sync> FromDelivery<S> for Attempts {
    async fn from_delivery(deliveries: Deliveries<'_>, _: &S) -> HandlerResult<Self> {
        if deliveries.first().attempt > 100 {
            return Err(Verdict::reject("tried too often"));
        }
        Ok(Self(deliveries.iter().map(|delivery| delivery.attempt).collect()))
    }
}

type Called = (Form, HandlerResult, Written);

/// Binds a handler to a state, as `queue` and `subscribe` do, and calls it.
async fn call<F, A, V>(handler: F, likes: impl IntoIterator<Item = u8>) -> Called
where
    F: HandlerFn<A, Work = Function<A>>,
    F::Answer: Future<Output = HandlerResult> + Send + 'static,
    A: Arguments<App, Written, V, Message = Liked> + 'static,
    V: 'static,
{
    let function = handler.work(|answer| Box::pin(answer));
    let bound = Bound::<App, A, V>::new(function, Arc::new(App { name: Name("app") }));
    let (lent, tx) = Lent::lend(Transaction::default());
    let tx = A::FORM.tx.then_some(tx);
    let answer = bound.call(liked(likes), tx).await;
    let written = lent.take_back().expect("a handler that is done has let go of its `Tx`").0;
    (A::FORM, answer, written)
}

const ONE: Form = Form { batch: false, tx: false };

#[tokio::test]
async fn a_handler_of_one_message_gets_it_and_its_delivery() {
    async fn handler(liked: Liked, delivery: Delivery) -> HandlerResult {
        assert_eq!((liked, delivery.attempt), (Liked(7), 7));
        Ok(())
    }
    let (form, answer, _) = call(handler, [7]).await;
    assert_eq!(form, ONE);
    answer.unwrap();
}

#[tokio::test]
async fn a_handler_with_the_transaction_writes_through_it_wherever_it_stands() {
    async fn first(liked: Liked, mut tx: Tx<Written>, State(name): State<Name>) -> HandlerResult {
        tx.push(format!("{} {}", name.0, liked.0));
        Ok(())
    }
    async fn last(liked: Liked, name: State<Name>, mut tx: Tx<Written>) -> HandlerResult {
        tx.push(format!("{} {}", name.0.0, liked.0));
        Ok(())
    }
    let with_tx = Form { tx: true, ..ONE };
    for (form, answer, written) in [call(first, [3]).await, call(last, [3]).await] {
        answer.unwrap();
        assert_eq!((form, written), (with_tx, vec!["app 3".to_owned()]));
    }
}

#[tokio::test]
async fn a_batch_comes_in_order_with_its_deliveries() {
    async fn plain(likes: Vec<Liked>, mut tx: Tx<Written>) -> HandlerResult {
        tx.extend(likes.iter().map(|liked| liked.0.to_string()));
        Ok(())
    }
    async fn batch(likes: Batch<Liked>, mut tx: Tx<Written>) -> HandlerResult {
        tx.extend(likes.iter().map(|liked| liked.delivery.attempt.to_string()));
        Ok(())
    }
    let both = Form { batch: true, tx: true };
    for (form, answer, written) in [call(plain, [3, 1, 2]).await, call(batch, [3, 1, 2]).await] {
        answer.unwrap();
        assert_eq!((form, written.join(" ")), (both, "3 1 2".to_owned()));
    }
}

#[tokio::test]
async fn an_extractor_of_a_user_sees_the_deliveries_of_all_messages_of_a_call() {
    async fn handler(likes: Vec<Liked>, Attempts(attempts): Attempts) -> HandlerResult {
        assert_eq!((likes.len(), attempts), (3, vec![4, 5, 6]));
        Ok(())
    }
    let (form, answer, _) = call(handler, [4, 5, 6]).await;
    assert_eq!(form, Form { batch: true, tx: false });
    answer.unwrap();
}

#[tokio::test]
async fn what_an_extractor_answers_instead_is_the_handlers_answer() {
    async fn handler(_: Liked, mut tx: Tx<Written>, _: Attempts) -> HandlerResult {
        tx.push("it was called".to_owned());
        Ok(())
    }
    let (_, answer, written) = call(handler, [101]).await;
    assert!(matches!(answer, Err(Verdict::Reject(why)) if why == "tried too often"));
    assert!(written.is_empty());
}

#[tokio::test]
async fn a_closure_may_have_eight_extractors_in_any_order() {
    let handler = |_: Liked,
                   _: State<Name>,
                   _: Delivery,
                   _: Attempts,
                   mut tx: Tx<Written>,
                   _: Delivery,
                   _: State<Name>,
                   _: Attempts,
                   State(name): State<Name>| async move {
        tx.push(name.0.to_owned());
        Ok(())
    };
    let (form, answer, written) = call(handler, [1]).await;
    answer.unwrap();
    assert_eq!((form.tx, written), (true, vec!["app".to_owned()]));
}

#[cfg(feature = "axum")]
impl axum::extract::FromRef<App> for Name {
    fn from_ref(app: &App) -> Self {
        app.name.clone()
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn axums_own_state_is_an_argument_too() {
    async fn handler(
        _: Liked,
        axum::extract::State(name): axum::extract::State<Name>,
    ) -> HandlerResult {
        assert_eq!(name.0, "app");
        Ok(())
    }
    call(handler, [1]).await.1.unwrap();
}
