//! Articles: read from the pool, written with the message that tells of it.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use consign::Receipt;
use serde::Deserialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row, SqliteConnection};

use crate::blank::is_blank;
use crate::login::SignedIn;
use crate::messages::{ArticleDeleted, ArticleEdited, ArticlePublished};
use crate::moment::Moment;
use crate::problem::Problem;
use crate::state::App;

const TITLE_LENGTH_MAX: usize = 200;
const BODY_BYTES_MAX: usize = 65_536;

/// How many articles a page shows at most.
pub(crate) const PAGE_MAX: u32 = 50;

/// An article with its author's name.
#[derive(Clone, Debug)]
pub(crate) struct Article {
    pub(crate) id: i64,
    pub(crate) author_id: i64,
    pub(crate) author: String,
    pub(crate) title: String,
    /// Markdown, as it was written.
    pub(crate) body: String,
    pub(crate) published_at: Moment,
    pub(crate) updated_at: Moment,
}

/// What an author sends.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manuscript {
    pub(crate) title: String,
    pub(crate) body: String,
}

/// An article's id in a path; what is no number names no article.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id(pub(crate) i64);

/// The article of that id.
pub(crate) async fn find(app: &App, id: i64) -> Result<Article, Problem> {
    sqlx::query_as(
        "select articles.id, author_id, name, title, body, published_at, updated_at
         from articles join authors on authors.id = author_id where articles.id = ?1",
    )
    .bind(id)
    .fetch_optional(&app.db)
    .await?
    .ok_or_else(no_such_article)
}

/// The newest articles, those older than article `before` if it is given.
pub(crate) async fn newest(
    app: &App,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Article>, Problem> {
    Ok(sqlx::query_as(
        "select articles.id, author_id, name, title, body, published_at, updated_at
         from articles join authors on authors.id = author_id
         where articles.id < ?1 order by articles.id desc limit ?2",
    )
    .bind(before.unwrap_or(i64::MAX))
    .bind(limit.min(PAGE_MAX))
    .fetch_all(&app.db)
    .await?)
}

/// The newest articles of one author, those older than article `before` if it is given.
pub(crate) async fn newest_of(
    app: &App,
    author_id: i64,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Article>, Problem> {
    Ok(sqlx::query_as(
        "select articles.id, author_id, name, title, body, published_at, updated_at
         from articles join authors on authors.id = author_id
         where author_id = ?1 and articles.id < ?2 order by articles.id desc limit ?3",
    )
    .bind(author_id)
    .bind(before.unwrap_or(i64::MAX))
    .bind(limit.min(PAGE_MAX))
    .fetch_all(&app.db)
    .await?)
}

/// Publishes an article and answers its id and receipt: the row and its message, both or neither.
pub(crate) async fn publish(
    app: &App,
    author: &SignedIn,
    manuscript: &Manuscript,
) -> Result<(i64, Receipt), Problem> {
    manuscript.check()?;
    let author_id = author.author_id;
    let mut tx = app.consign.begin().await?;
    let article_id = sqlx::query_scalar(
        "insert into articles (author_id, title, body, published_at, updated_at)
         values (?1, ?2, ?3, ?4, ?4) returning id",
    )
    .bind(author_id)
    .bind(&manuscript.title)
    .bind(&manuscript.body)
    .bind(Moment::now().milliseconds())
    .fetch_one(&mut *tx)
    .await?;
    tx.publish(&ArticlePublished { article_id, author_id }).await?;
    Ok((article_id, tx.commit().await?))
}

/// Changes an article of the author's own, and answers it as it is now.
pub(crate) async fn edit(
    app: &App,
    author: &SignedIn,
    article_id: i64,
    manuscript: Manuscript,
) -> Result<(Article, Receipt), Problem> {
    manuscript.check()?;
    let (author_id, updated_at) = (author.author_id, Moment::now());
    let mut tx = app.consign.begin().await?;
    let published_at = sqlx::query_scalar(
        "update articles set title = ?3, body = ?4, updated_at = ?5
         where id = ?1 and author_id = ?2 returning published_at",
    )
    .bind(article_id)
    .bind(author_id)
    .bind(&manuscript.title)
    .bind(&manuscript.body)
    .bind(updated_at.milliseconds())
    .fetch_optional(&mut *tx)
    .await?;
    let Some(published_at) = published_at else {
        return Err(why_not(&mut tx, article_id).await?);
    };
    tx.publish(&ArticleEdited { article_id, author_id }).await?;
    let receipt = tx.commit().await?;
    let article = Article {
        id: article_id,
        author_id,
        author: author.name.clone(),
        title: manuscript.title,
        body: manuscript.body,
        published_at: Moment::from_milliseconds(published_at),
        updated_at,
    };
    Ok((article, receipt))
}

/// Deletes an article of the author's own.
pub(crate) async fn delete(
    app: &App,
    author: &SignedIn,
    article_id: i64,
) -> Result<Receipt, Problem> {
    let author_id = author.author_id;
    let mut tx = app.consign.begin().await?;
    let deleted = sqlx::query("delete from articles where id = ?1 and author_id = ?2")
        .bind(article_id)
        .bind(author_id)
        .execute(&mut *tx)
        .await?;
    if deleted.rows_affected() == 0 {
        return Err(why_not(&mut tx, article_id).await?);
    }
    tx.publish(&ArticleDeleted { article_id, author_id }).await?;
    Ok(tx.commit().await?)
}

impl Manuscript {
    fn check(&self) -> Result<(), Problem> {
        if self.body.len() > BODY_BYTES_MAX {
            let sentence = format!("the text has more than {BODY_BYTES_MAX} bytes");
            return Err(Problem::too_large(sentence));
        }
        if self.body.is_empty() {
            return Err(Problem::invalid("the text is empty"));
        }
        if is_blank(&self.title) {
            return Err(Problem::invalid("the title is empty"));
        }
        if self.title.chars().count() > TITLE_LENGTH_MAX {
            let sentence = format!("the title has more than {TITLE_LENGTH_MAX} characters");
            return Err(Problem::invalid(sentence));
        }
        Ok(())
    }
}

impl FromRequestParts<App> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let path = Path::<i64>::from_request_parts(parts, app).await;
        path.map(|Path(id)| Self(id)).map_err(|_| no_such_article())
    }
}

impl FromRow<'_, SqliteRow> for Article {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            author_id: row.try_get("author_id")?,
            author: row.try_get("name")?,
            title: row.try_get("title")?,
            body: row.try_get("body")?,
            published_at: Moment::from_milliseconds(row.try_get("published_at")?),
            updated_at: Moment::from_milliseconds(row.try_get("updated_at")?),
        })
    }
}

/// Nothing was changed: since it is somebody else's, or since there is no such article.
async fn why_not(tx: &mut SqliteConnection, article_id: i64) -> Result<Problem, Problem> {
    let exists: bool = sqlx::query_scalar("select exists (select 1 from articles where id = ?1)")
        .bind(article_id)
        .fetch_one(tx)
        .await?;
    Ok(if exists { Problem::forbidden("it is not your article") } else { no_such_article() })
}

fn no_such_article() -> Problem {
    Problem::not_found("there is no such article")
}
