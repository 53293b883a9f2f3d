//! `/write` and `/articles/{id}/edit`: writing an article, and changing it.

use std::time::Instant;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};

use super::account::sign_in_first;
use super::article::Id;
use super::form::Sent;
use super::frame::Frame;
use super::notice::{self, Notice};
use super::page::Page;
use crate::article::{self, Manuscript};
use crate::problem::Problem;
use crate::state::App;

#[derive(Template)]
#[template(path = "write.html")]
struct WritePage {
    frame: Frame,
    /// The article that is changed; none for a new one.
    id: Option<i64>,
    manuscript: Manuscript,
    problem: Option<String>,
}

pub(super) async fn publish_form(frame: Frame) -> Response {
    if frame.reader.is_none() {
        return sign_in_first("/write");
    }
    let manuscript = Manuscript { title: String::new(), body: String::new() };
    Page(WritePage { frame, id: None, manuscript, problem: None }).into_response()
}

pub(super) async fn publish(
    State(app): State<App>,
    frame: Frame,
    request: HeaderMap,
    Sent(manuscript): Sent<Manuscript>,
) -> Response {
    let manuscript = with_unix_lines(manuscript);
    let Some(reader) = &frame.reader else {
        return typed_again(frame, None, manuscript, &signed_out());
    };
    if let Some(problem) = blank(&manuscript) {
        return typed_again(frame, None, manuscript, &problem);
    }
    let begun = Instant::now();
    match article::publish(&app, reader, &manuscript).await {
        Ok(id) => shown(&request, id, Notice::Published(begun.elapsed())),
        Err(problem) => typed_again(frame, None, manuscript, &problem),
    }
}

pub(super) async fn edit_form(
    State(app): State<App>,
    frame: Frame,
    Id(id): Id,
) -> Result<Response, Problem> {
    if frame.reader.is_none() {
        return Ok(sign_in_first(&format!("/articles/{id}/edit")));
    }
    let article = article::find(&app, id).await?;
    if !frame.is_of(article.author_id) {
        return Err(Problem::forbidden("it is not your article"));
    }
    let manuscript = Manuscript { title: article.title, body: article.body };
    Ok(Page(WritePage { frame, id: Some(id), manuscript, problem: None }).into_response())
}

pub(super) async fn edit(
    State(app): State<App>,
    frame: Frame,
    Id(id): Id,
    request: HeaderMap,
    Sent(manuscript): Sent<Manuscript>,
) -> Response {
    let manuscript = with_unix_lines(manuscript);
    let Some(reader) = &frame.reader else {
        return typed_again(frame, Some(id), manuscript, &signed_out());
    };
    if let Some(problem) = blank(&manuscript) {
        return typed_again(frame, Some(id), manuscript, &problem);
    }
    let begun = Instant::now();
    match article::edit(&app, reader, id, manuscript.clone()).await {
        Ok(_) => shown(&request, id, Notice::Edited(begun.elapsed())),
        Err(problem) => typed_again(frame, Some(id), manuscript, &problem),
    }
}

/// The form again, with what was typed and why it was not taken.
fn typed_again(
    frame: Frame,
    id: Option<i64>,
    manuscript: Manuscript,
    problem: &Problem,
) -> Response {
    let sentence = Some(problem.detail().to_owned());
    Page(WritePage { frame, id, manuscript, problem: sentence }).because_of(problem)
}

fn shown(request: &HeaderMap, id: i64, notice: Notice) -> Response {
    notice::said_by(request, notice, Redirect::to(&format!("/articles/{id}")))
}

fn signed_out() -> Problem {
    Problem::not_signed_in("you are signed out: sign in in another tab, then try again here")
}

/// A program may store blanks; a person who sends them pressed the button too early.
fn blank(manuscript: &Manuscript) -> Option<Problem> {
    manuscript.body.trim().is_empty().then(|| Problem::invalid("the text is empty"))
}

/// Browsers send a text's lines as the web does; they are stored as they were typed.
fn with_unix_lines(manuscript: Manuscript) -> Manuscript {
    Manuscript { body: manuscript.body.replace("\r\n", "\n"), ..manuscript }
}
