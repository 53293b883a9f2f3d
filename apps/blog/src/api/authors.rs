//! `/api/authors`: how many articles somebody has.

use axum::Json;
use axum::extract::State;

use crate::author::{self, Author, Name};
use crate::config::WorkerName;
use crate::own_writes::{Own, Shown};
use crate::problem::Problem;
use crate::state::App;

pub(super) async fn show(
    State(app): State<App>,
    Name(name): Name,
    own: Own,
) -> Result<(Shown, Json<Author>), Problem> {
    let shown = own.seen_by(&app, WorkerName::Counter).await?;
    Ok((shown, Json(author::find(&app, &name).await?)))
}
