//! `/articles/{id}/delete`: asked once more, then done.

use std::time::Instant;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};

use super::account::sign_in_first;
use super::frame::Frame;
use super::notice::{self, Notice};
use super::page::Page;
use crate::article::{self, Article, Id};
use crate::login::SignedIn;
use crate::own_writes::kept_by;
use crate::problem::Problem;
use crate::state::App;

#[derive(Template)]
#[template(path = "delete.html")]
struct DeletePage {
    frame: Frame,
    article: Article,
}

pub(super) async fn confirm(
    State(app): State<App>,
    frame: Frame,
    Id(id): Id,
) -> Result<Response, Problem> {
    if frame.reader.is_none() {
        return Ok(sign_in_first(&format!("/articles/{id}/delete")));
    }
    let article = article::find(&app, id).await?;
    if !frame.is_of(article.author_id) {
        return Err(Problem::forbidden("it is not your article"));
    }
    Ok(Page(DeletePage { frame, article }).into_response())
}

pub(super) async fn delete(
    State(app): State<App>,
    reader: SignedIn,
    Id(id): Id,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let receipt = article::delete(&app, &reader, id).await?;
    let notice = Notice::Deleted(begun.elapsed());
    let page = Redirect::to(&format!("/authors/{}", reader.name));
    Ok(kept_by(&request, &receipt, notice::said_by(&request, notice, page)))
}
