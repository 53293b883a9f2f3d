//! What a page can watch.

use std::sync::Arc;

/// One thing that a page shows and that changes by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Watch {
    /// How many articles an author has, by the author's id.
    Count(i64),
    /// Whether the search knows an article yet.
    Known(i64),
    /// How all subscriptions stand.
    Subscriptions,
    /// What is found by a pattern of [`crate::search`].
    Results(String),
}

/// HTML that takes the place of what a page shows; every page that watches the same shares it.
pub(super) type Fragment = Arc<str>;
