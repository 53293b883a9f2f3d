//! `/api/audit`: do the counts say what is stored?

use axum::Json;
use axum::extract::State;

use crate::audit::{self, Audit};
use crate::problem::Problem;
use crate::state::App;

pub(super) async fn show(State(app): State<App>) -> Result<Json<Audit>, Problem> {
    Ok(Json(audit::audit(&app).await?))
}
