//! An article in a list, and the way from one page of a list to the next.

use serde::Deserialize;

use crate::article::Article;
use crate::markdown;
use crate::moment::Moment;

/// Articles on one page of a list.
const PAGE: u32 = 20;
const EXCERPT_LENGTH: usize = 220;
/// So much of an article is read for it; what comes later would not be shown.
const EXCERPT_SOURCE: usize = 2_048;

pub(super) struct Entry {
    pub(super) id: i64,
    pub(super) title: String,
    pub(super) author: String,
    pub(super) excerpt: String,
    pub(super) published_at: Moment,
}

/// Where in a list a page begins: at the newest article, or after a given one.
#[derive(Deserialize)]
pub(super) struct Place {
    before: Option<String>,
}

/// One page of a list.
pub(super) struct Listing {
    pub(super) entries: Vec<Entry>,
    /// Whether it is not the first.
    pub(super) later: bool,
    /// After which article the next one begins.
    pub(super) next: Option<i64>,
}

impl Place {
    /// What is no number is no place: the list begins at its head.
    pub(super) fn before(&self) -> Option<i64> {
        self.before.as_ref()?.parse().ok()
    }

    /// One more than is shown says whether there is a next page.
    pub(super) const fn limit() -> u32 {
        PAGE + 1
    }

    pub(super) fn listing(&self, mut articles: Vec<Article>) -> Listing {
        let more = articles.len() > PAGE as usize;
        articles.truncate(PAGE as usize);
        let next = articles.last().filter(|_| more).map(|article| article.id);
        let entries = articles.into_iter().map(Entry::from).collect();
        Listing { entries, later: self.before().is_some(), next }
    }
}

impl From<Article> for Entry {
    fn from(article: Article) -> Self {
        let head = &article.body[..article.body.floor_char_boundary(EXCERPT_SOURCE)];
        Self {
            id: article.id,
            title: article.title,
            author: article.author,
            excerpt: markdown::excerpt(head, EXCERPT_LENGTH),
            published_at: article.published_at,
        }
    }
}
