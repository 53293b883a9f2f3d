//! `/articles/{id}`: an article.

use askama::Template;
use axum::extract::State;

use super::frame::Frame;
use super::html::Html;
use super::notice::Notice;
use super::page::Page;
use crate::article::{self, Article, Id};
use crate::author;
use crate::problem::Problem;
use crate::state::App;

#[derive(Template)]
#[template(path = "article.html")]
pub(super) struct ArticlePage {
    frame: Frame,
    article: Article,
    html: Html,
    /// How many articles its author has.
    articles: i64,
    live: bool,
    own: bool,
}

pub(super) async fn show(
    State(app): State<App>,
    frame: Frame,
    Id(id): Id,
) -> Result<Page<ArticlePage>, Problem> {
    let article = article::find(&app, id).await?;
    let author = author::find(&app, &article.author).await?;
    Ok(Page(ArticlePage {
        html: Html::of_markdown(&article.body),
        articles: author.articles,
        live: false,
        own: frame.is_of(article.author_id),
        article,
        frame,
    }))
}

impl ArticlePage {
    /// Whether the page waits for the search to know the article.
    fn awaits_search(&self) -> bool {
        matches!(self.frame.notice, Some(Notice::Published(_)))
    }

    fn is_edited(&self) -> bool {
        self.article.updated_at != self.article.published_at
    }
}
