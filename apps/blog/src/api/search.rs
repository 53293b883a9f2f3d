//! `/api/search`: articles that have every word.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::WorkerName;
use crate::own_writes::{Own, Shown};
use crate::problem::Problem;
use crate::search;
use crate::state::App;

const LIMIT_DEFAULT: u32 = 20;

#[derive(Deserialize)]
pub(super) struct Question {
    #[serde(default)]
    q: String,
    limit: Option<u32>,
}

pub(super) async fn find(
    State(app): State<App>,
    own: Own,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<(Shown, Json<Value>), Problem> {
    let Query(question) = question.map_err(|error| Problem::invalid(error.body_text()))?;
    let limit = question.limit.unwrap_or(LIMIT_DEFAULT);
    let shown = own.seen_by(&app, WorkerName::Search).await?;
    let articles = search::find(&app, &question.q, limit).await?;
    Ok((shown, Json(json!({ "articles": articles }))))
}
