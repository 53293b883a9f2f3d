//! `/api/authors`: how many articles somebody has.

use axum::Json;
use axum::extract::State;

use crate::author::{self, Author, Name};
use crate::problem::Problem;
use crate::state::App;

pub(super) async fn show(
    State(app): State<App>,
    Name(name): Name,
) -> Result<Json<Author>, Problem> {
    Ok(Json(author::find(&app, &name).await?))
}
