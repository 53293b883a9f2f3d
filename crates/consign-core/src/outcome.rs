//! What a handler or a projection may end with.

use crate::BoxError;

/// What a handler or a projection answers.
pub type HandlerResult<T = ()> = Result<T, Verdict>;

/// Everything a projection may end with besides `Ok(())`.
///
/// Deliberately not a `std::error::Error`, so that `?` turns any error into [`Verdict::Retry`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Not applied: try the same messages again, after a backoff.
    Retry(BoxError),
}

impl Verdict {
    /// What it says went wrong.
    #[doc(hidden)]
    pub fn into_error(self) -> BoxError {
        match self {
            Self::Retry(error) => error,
        }
    }
}

impl<E: Into<BoxError>> From<E> for Verdict {
    fn from(error: E) -> Self {
        Self::Retry(error.into())
    }
}
