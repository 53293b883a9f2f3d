//! What the blog publishes: topic `articles`, in order per author.

use consign::Message;
use serde::{Deserialize, Serialize};

/// Published by each accepted `POST`.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "article.published", version = 1, topic = "articles", key = author_id)]
pub(crate) struct ArticlePublished {
    pub(crate) article_id: i64,
    pub(crate) author_id: i64,
}

/// Published by each accepted `PUT`.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "article.edited", version = 1, topic = "articles", key = author_id)]
pub(crate) struct ArticleEdited {
    pub(crate) article_id: i64,
    pub(crate) author_id: i64,
}

/// Published by each accepted `DELETE`.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "article.deleted", version = 1, topic = "articles", key = author_id)]
pub(crate) struct ArticleDeleted {
    pub(crate) article_id: i64,
    pub(crate) author_id: i64,
}

/// What changes how many articles there are; the counter reads it.
#[derive(Debug, Message)]
pub(crate) enum ArticleEvent {
    Published(ArticlePublished),
    Deleted(ArticleDeleted),
}

impl ArticleEvent {
    pub(crate) fn author_id(&self) -> i64 {
        match self {
            Self::Published(message) => message.author_id,
            Self::Deleted(message) => message.author_id,
        }
    }

    /// By how much the author's number of articles changes.
    pub(crate) fn delta(&self) -> i64 {
        match self {
            Self::Published(_) => 1,
            Self::Deleted(_) => -1,
        }
    }
}

/// What changes an article at all; search reads it.
#[derive(Debug, Message)]
pub(crate) enum ArticleChange {
    Published(ArticlePublished),
    Edited(ArticleEdited),
    Deleted(ArticleDeleted),
}

impl ArticleChange {
    pub(crate) fn article_id(&self) -> i64 {
        match self {
            Self::Published(message) => message.article_id,
            Self::Edited(message) => message.article_id,
            Self::Deleted(message) => message.article_id,
        }
    }
}
