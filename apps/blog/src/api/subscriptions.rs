//! `/api/subscriptions`: who does what, and why somebody does not.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::state::App;
use crate::subscriptions;

pub(super) async fn list(State(app): State<App>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "subscriptions": subscriptions::all(&app).await? })))
}
