//! `/api/sessions`: signing in.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::account::Credentials;
use crate::body::Input;
use crate::cookie::Peer;
use crate::login;
use crate::problem::Problem;
use crate::state::App;

pub(super) async fn create(
    State(app): State<App>,
    Peer(from): Peer,
    Input(credentials): Input<Credentials>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let token = login::sign_in(&app, from, credentials).await?;
    Ok((StatusCode::CREATED, Json(json!({ "token": token.as_str() }))))
}
