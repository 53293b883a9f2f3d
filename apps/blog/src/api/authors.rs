//! `/api/authors`: how many articles somebody has.

use axum::Json;
use axum::extract::{Path, State};

use crate::author::{self, Author};
use crate::problem::Problem;
use crate::state::App;

pub(super) async fn show(
    State(app): State<App>,
    name: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Json<Author>, Problem> {
    let Ok(Path(name)) = name else { return Err(Problem::not_found("nobody has that name")) };
    Ok(Json(author::find(&app, &name).await?))
}
