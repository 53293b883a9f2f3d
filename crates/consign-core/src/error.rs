//! The one error of `consign`: opaque, with a stable code and the questions callers act on.

use std::error::Error as StdError;
use std::fmt;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A result whose error is [`Error`], unless another is named.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Says what was being done, to what, and, where it is known, what to do.
///
/// The wording is for people and may change; programs ask [`Error::code`] and the `is_…`
/// questions.
pub struct Error {
    code: &'static str,
    message: String,
    source: Option<BoxError>,
}

impl Error {
    /// The write lock was not had in time.
    pub const BUSY: &'static str = "database-busy";
    /// The disk is full.
    pub const FULL: &'static str = "database-full";

    /// A request that shared the commit failed, and this one with it: nothing of it was kept.
    pub const GROUP_FAILED: &'static str = "group-failed";
    /// The commit may have happened, or may yet.
    pub const UNKNOWN: &'static str = "commit-unknown";

    /// Something is away that every message of a subscription needs.
    pub const OUTAGE: &'static str = "outage";

    /// Makes an error; `code` is kebab-case and never changes its meaning.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// Adds what it was caused by.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error once more, without its source, for who shares what failed.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::new(self.code, self.message.clone())
    }

    /// Names the kind of error, stable across releases.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Asks whether the database's write lock was held too long by others: an overload, answer 503.
    pub fn is_busy(&self) -> bool {
        self.code == Self::BUSY
    }

    /// Asks whether the disk is full: nothing was written, it works again when there is room.
    pub fn is_full(&self) -> bool {
        self.code == Self::FULL
    }

    /// Asks whether it failed with another request, through no fault of its own: nothing was kept,
    /// answer 503.
    pub fn is_group_failed(&self) -> bool {
        self.code == Self::GROUP_FAILED
    }

    /// Asks whether the outcome of a commit is unknown: look before the same is done again.
    pub fn is_unknown(&self) -> bool {
        self.code == Self::UNKNOWN
    }

    /// Asks whether the same call may succeed later, unchanged.
    pub fn is_retryable(&self) -> bool {
        self.is_busy() || self.is_full() || self.is_group_failed()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)?;
        self.source.iter().try_for_each(|source| write!(f, ": {source}"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
