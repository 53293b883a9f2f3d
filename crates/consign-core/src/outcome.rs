//! What a handler or a projection may end with.

use crate::{BoxError, Error};
use std::time::Duration;

/// What a handler or a projection answers.
pub type HandlerResult<T = ()> = Result<T, Verdict>;

/// Everything a handler may end with besides `Ok(())`.
///
/// Deliberately not a `std::error::Error`, so that `?` turns any error into [`Verdict::Retry`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Not done: again by the subscription's [`Retry`](crate::Retry) policy, which counts attempts.
    Retry(BoxError),
    /// Not yet: again after this long, and no attempt is counted.
    Snooze(Duration),
    /// Given up at once, for this reason: it becomes a dead letter.
    Reject(String),
    /// Obsolete, for this reason: dropped and counted.
    Discard(String),
}

impl Verdict {
    /// Gives a message up at once: it becomes a dead letter that says `why`.
    #[expect(clippy::needless_pass_by_value, reason = "an error is written as it stands")]
    pub fn reject(why: impl ToString) -> Self {
        Self::Reject(why.to_string())
    }

    /// Drops a message that is obsolete; it is counted.
    #[expect(clippy::needless_pass_by_value, reason = "a reason is written as it stands")]
    pub fn discard(why: impl ToString) -> Self {
        Self::Discard(why.to_string())
    }

    /// Says that something is away that every message needs, such as a mail server: the whole
    /// subscription pauses, one message at a time tries again, and no attempt is counted.
    ///
    /// For what this one message alone needs, `?` is right: five keys in a row that fail alike are
    /// taken for an outage, too.
    #[expect(clippy::needless_pass_by_value, reason = "an error is written as it stands")]
    pub fn outage(what: impl ToString) -> Self {
        Self::Retry(Error::new(Error::OUTAGE, what.to_string()).into())
    }

    /// What it says went wrong.
    #[doc(hidden)]
    pub fn into_error(self) -> BoxError {
        match self {
            Self::Retry(error) => error,
            Self::Snooze(wait) => format!("it asked to be called again in {wait:?}").into(),
            Self::Reject(why) => Error::new("rejected", why).into(),
            Self::Discard(why) => Error::new("discarded", why).into(),
        }
    }
}

impl<E: Into<BoxError>> From<E> for Verdict {
    fn from(error: E) -> Self {
        Self::Retry(error.into())
    }
}
