//! Authors as readers see them: a name and how many articles.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
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

/// An author's name in a path; what is no text names nobody.
#[derive(Clone, Debug)]
pub(crate) struct Name(pub(crate) String);

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
    let (id, name, articles) = row.ok_or_else(no_such_author)?;
    Ok(Author { id, name, articles })
}

impl FromRequestParts<App> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        path.map(|Path(name)| Self(name)).map_err(|_| no_such_author())
    }
}

fn no_such_author() -> Problem {
    Problem::not_found("nobody has that name")
}
