//! `/api/articles`: publishing, reading, editing and deleting.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::json;

use crate::article::{self, Article, Id, Manuscript};
use crate::body::Input;
use crate::login::SignedIn;
use crate::markdown;
use crate::moment::Moment;
use crate::own_writes::Changed;
use crate::problem::Problem;
use crate::state::App;

#[derive(Serialize)]
pub(super) struct Answer {
    id: i64,
    title: String,
    author: String,
    body: String,
    html: String,
    published_at: Moment,
    updated_at: Moment,
}

pub(super) async fn create(
    State(app): State<App>,
    author: SignedIn,
    Input(manuscript): Input<Manuscript>,
) -> Result<impl IntoResponse, Problem> {
    let (id, receipt) = article::publish(&app, &author, &manuscript).await?;
    let location = [(header::LOCATION, format!("/api/articles/{id}"))];
    Ok((StatusCode::CREATED, location, Changed(receipt), Json(json!({ "id": id }))))
}

pub(super) async fn show(State(app): State<App>, Id(id): Id) -> Result<Json<Answer>, Problem> {
    Ok(Json(article::find(&app, id).await?.into()))
}

pub(super) async fn replace(
    State(app): State<App>,
    author: SignedIn,
    Id(id): Id,
    Input(manuscript): Input<Manuscript>,
) -> Result<(Changed, Json<Answer>), Problem> {
    let (article, receipt) = article::edit(&app, &author, id, manuscript).await?;
    Ok((Changed(receipt), Json(article.into())))
}

pub(super) async fn delete(
    State(app): State<App>,
    author: SignedIn,
    Id(id): Id,
) -> Result<impl IntoResponse, Problem> {
    let receipt = article::delete(&app, &author, id).await?;
    Ok((StatusCode::NO_CONTENT, Changed(receipt), ()))
}

impl From<Article> for Answer {
    fn from(article: Article) -> Self {
        Self {
            id: article.id,
            title: article.title,
            author: article.author,
            html: markdown::render(&article.body),
            body: article.body,
            published_at: article.published_at,
            updated_at: article.updated_at,
        }
    }
}
