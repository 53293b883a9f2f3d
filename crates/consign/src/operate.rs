//! What operators ask for: dead letters, pauses, and a look at how it comes along.

use crate::sqlite::Consign;
use crate::{
    DeadLetter, DeadLetters, Envelope, Key, MessageId, ParkedKey, Request, RequestStatus, Result,
    Selection,
};
use std::num::NonZeroU32;

/// What operators ask for.
///
/// What touches messages is written down and done by the worker that owns their partition, within
/// a tenth of a second where one is alive: [`Consign::request`] says how far it has come.
///
/// # Examples
/// ```no_run
/// use consign::sqlite::Consign;
/// use consign::{DeadLetters, Selection};
/// use std::num::NonZeroU32;
///
/// # async fn run(consign: Consign) -> consign::Result {
/// // A page of what was given up, the newest first …
/// let mailer = DeadLetters { subscription: Some("mailer".to_owned()), ..DeadLetters::default() };
/// for letter in consign.dead_letters(&mailer, 50).await? {
///     println!("{} {}: {}", letter.died_at.elapsed().unwrap_or_default().as_secs(), letter.message,
///         letter.error);
/// }
/// // … all that failed alike go back, at 50 a second.
/// let refused = Selection::alike("connection refused");
/// let request = consign.redrive("mailer", &refused, NonZeroU32::new(50)).await?;
/// let status = consign.request(request).await?;
/// println!("{} are back, done: {}", status.touched, status.is_done);
///
/// consign.pause("mailer", "the mail server moves").await?;
/// for subscription in consign.subscriptions().await? {
///     let (state, cause) = (subscription.state.as_str(), subscription.cause);
///     println!("{} {state} {}", subscription.name, cause.unwrap_or_default());
/// }
/// consign.resume("mailer").await
/// # }
/// ```
impl Consign {
    /// A page of dead letters, the newest first, at most `max`; the next one begins
    /// [`before`](DeadLetters::before) the last of this one.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn dead_letters(&self, wanted: &DeadLetters, max: usize) -> Result<Vec<DeadLetter>> {
        self.log().dead_letters(wanted, max).await
    }

    /// One dead letter, with its message.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn dead_letter(&self, id: i64) -> Result<Option<(DeadLetter, Envelope)>> {
        self.log().dead_letter(id).await
    }

    /// Asks that dead letters be tried again, from their first attempt; at most `rate` a second.
    ///
    /// # Errors
    /// `no-such-subscription`; `no-such-message` where one is named.
    ///
    /// # Guarantee
    /// A letter goes back once, and its effect happens once, however often this is asked.
    pub async fn redrive(
        &self,
        subscription: &str,
        which: &Selection,
        rate: Option<NonZeroU32>,
    ) -> Result<Request> {
        self.log().redrive(subscription, which, rate).await
    }

    /// Asks that dead letters be dropped; a message that is named, even while it waits.
    ///
    /// # Errors
    /// As [`Consign::redrive`].
    pub async fn discard(&self, subscription: &str, which: &Selection) -> Result<Request> {
        self.log().discard(subscription, which).await
    }

    /// Asks that a dead letter, or a message that waits, have another payload; then redrive it.
    /// Other subscriptions see the message as it was published.
    ///
    /// # Errors
    /// As [`Consign::redrive`], and `payload-too-large`.
    pub async fn edit(
        &self,
        subscription: &str,
        message: MessageId,
        payload: impl Into<Vec<u8>>,
    ) -> Result<Request> {
        self.log().edit(subscription, message, payload.into().into()).await
    }

    /// Asks that messages which wait for their next attempt wait no longer.
    ///
    /// # Errors
    /// As [`Consign::redrive`].
    pub async fn retry_now(&self, subscription: &str, which: &Selection) -> Result<Request> {
        self.log().retry_now(subscription, which).await
    }

    /// How far the workers have come with what was asked for.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn request(&self, request: Request) -> Result<RequestStatus> {
        self.log().request(request).await
    }

    /// The keys of a subscription whose messages wait, at most `max`.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn parked_keys(&self, subscription: &str, max: usize) -> Result<Vec<ParkedKey>> {
        self.log().parked_keys(subscription, max).await
    }

    /// Pauses a subscription in all processes, until it is resumed, restarts included; `why`, and
    /// best who, is shown.
    ///
    /// # Errors
    /// `no-such-subscription`.
    pub async fn pause(&self, subscription: &str, why: &str) -> Result {
        self.log().pause(subscription, why).await
    }

    /// Lets a subscription that was paused go on.
    ///
    /// # Errors
    /// `no-such-subscription`.
    pub async fn resume(&self, subscription: &str) -> Result {
        self.log().resume(subscription).await
    }

    /// Pauses all subscriptions that read a topic now; publishing to it goes on.
    ///
    /// # Errors
    /// `no-such-topic`.
    pub async fn pause_topic(&self, topic: &str, why: &str) -> Result {
        self.log().pause_topic(topic, why).await
    }

    /// Lets all subscriptions of a topic go on, whoever paused them.
    ///
    /// # Errors
    /// `no-such-topic`.
    pub async fn resume_topic(&self, topic: &str) -> Result {
        self.log().resume_topic(topic).await
    }

    /// Asks that a key's messages be held back until it is resumed; others go on.
    ///
    /// # Errors
    /// `no-such-subscription`.
    pub async fn pause_key(&self, subscription: &str, key: &Key) -> Result<Request> {
        self.log().pause_key(subscription, key).await
    }

    /// Asks that a key which was paused go on, with what waited, in order.
    ///
    /// # Errors
    /// `no-such-subscription`.
    pub async fn resume_key(&self, subscription: &str, key: &Key) -> Result<Request> {
        self.log().resume_key(subscription, key).await
    }
}
