//! The counter: how many articles each author has.

use consign::sqlite::Tx;
use consign::{Projection, Sum};

use crate::messages::ArticleEvent;

/// What the subscription `counter` applies.
pub(crate) fn counts() -> impl Projection<Tx> {
    Sum::into("author_counts", "author_id", "articles")
        .by(|event: &ArticleEvent| (event.author_id(), event.delta()))
        .backfill("select author_id, count(*) from articles group by author_id")
}
