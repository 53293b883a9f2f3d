//! `/api/openapi.json`: the API described for programs.

use axum::http::header;
use axum::response::IntoResponse;

pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

pub(super) async fn show() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION)
}
