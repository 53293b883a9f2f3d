//! Authors as readers see them: a name and how many articles.

use serde::Serialize;

use crate::problem::Problem;
use crate::state::App;

/// An author, with the counter's number as it is now.
#[derive(Debug, Serialize)]
pub(crate) struct Author {
    #[serde(skip)]
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) articles: i64,
}

/// The author of that name.
pub(crate) async fn find(app: &App, name: &str) -> Result<Author, Problem> {
    let row: Option<(i64, String, i64)> = sqlx::query_as(
        "select authors.id, name, coalesce(articles, 0)
         from authors left join author_counts on author_counts.author_id = authors.id
         where name = ?1",
    )
    .bind(name)
    .fetch_optional(&app.db)
    .await?;
    let (id, name, articles) = row.ok_or_else(|| Problem::not_found("nobody has that name"))?;
    Ok(Author { id, name, articles })
}
