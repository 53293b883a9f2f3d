//! `/write` and `/articles/{id}/edit`: writing an article, and changing it.

use std::time::Instant;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use consign::Receipt;
use serde::Deserialize;

use super::account::sign_in_first;
use super::form::Sent;
use super::frame::Frame;
use super::html::Html;
use super::notice::{self, Notice};
use super::page::Page;
use crate::article::{self, Id, Manuscript};
use crate::blank::is_blank;
use crate::login::SignedIn;
use crate::own_writes::kept_by;
use crate::problem::Problem;
use crate::state::App;

#[derive(Template)]
#[template(path = "write.html")]
struct WritePage {
    frame: Frame,
    draft: Draft,
    preview: Option<Html>,
    problem: Option<String>,
}

/// What stands in the form.
struct Draft {
    /// The article that is changed; none for a new one.
    id: Option<i64>,
    manuscript: Manuscript,
}

/// What was stored, and what is said of it.
struct Stored {
    id: i64,
    receipt: Receipt,
    notice: Notice,
}

/// What the form sends: by which of its two buttons, too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Typed {
    title: String,
    body: String,
    #[serde(default)]
    then: Then,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Then {
    #[default]
    Store,
    Preview,
}

pub(super) async fn publish_form(frame: Frame) -> Response {
    if frame.reader.is_none() {
        return sign_in_first("/write");
    }
    let manuscript = Manuscript { title: String::new(), body: String::new() };
    Draft { id: None, manuscript }.page(frame).into_response()
}

pub(super) async fn publish(
    State(app): State<App>,
    frame: Frame,
    request: HeaderMap,
    Sent(typed): Sent<Typed>,
) -> Response {
    take(&app, frame, &request, None, typed).await
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
    Ok(Draft { id: Some(id), manuscript }.page(frame).into_response())
}

pub(super) async fn edit(
    State(app): State<App>,
    frame: Frame,
    Id(id): Id,
    request: HeaderMap,
    Sent(typed): Sent<Typed>,
) -> Response {
    take(&app, frame, &request, Some(id), typed).await
}

/// Does what the button says; whatever goes wrong, the form comes back with what was typed.
async fn take(
    app: &App,
    frame: Frame,
    request: &HeaderMap,
    id: Option<i64>,
    typed: Typed,
) -> Response {
    let draft = Draft { id, manuscript: Manuscript { title: typed.title, body: typed.body } };
    if matches!(typed.then, Then::Preview) {
        return draft.preview(frame);
    }
    let draft = draft.with_unix_lines();
    let stored = match &frame.reader {
        Some(reader) => draft.store(app, reader).await,
        None => Err(signed_out()),
    };
    match stored {
        Ok(Stored { id, receipt, notice }) => {
            let page = Redirect::to(&format!("/articles/{id}"));
            kept_by(request, &receipt, notice::said_by(request, notice, page))
        }
        Err(problem) => draft.again(frame, &problem),
    }
}

impl WritePage {
    fn action(&self) -> String {
        self.draft.id.map_or_else(|| "/write".to_owned(), |id| format!("/articles/{id}/edit"))
    }
}

impl Draft {
    /// Publishes or changes the article, and measures how long its author waited for that.
    async fn store(&self, app: &App, author: &SignedIn) -> Result<Stored, Problem> {
        // A program may store blanks; a person who sends them pressed the button too early.
        if is_blank(&self.manuscript.body) {
            return Err(Problem::invalid("the text is empty"));
        }
        let begun = Instant::now();
        match self.id {
            None => {
                let (id, receipt) = article::publish(app, author, &self.manuscript).await?;
                Ok(Stored { id, receipt, notice: Notice::Published(begun.elapsed()) })
            }
            Some(id) => {
                let (_, receipt) = article::edit(app, author, id, self.manuscript.clone()).await?;
                Ok(Stored { id, receipt, notice: Notice::Edited(begun.elapsed()) })
            }
        }
    }

    fn page(self, frame: Frame) -> Page<WritePage> {
        Page(WritePage { frame, draft: self, preview: None, problem: None })
    }

    fn preview(self, frame: Frame) -> Response {
        let preview = Html::of_markdown(&self.manuscript.body);
        let mut page = self.page(frame);
        page.0.preview = Some(preview);
        page.into_response()
    }

    fn again(self, frame: Frame, problem: &Problem) -> Response {
        let mut page = self.page(frame);
        page.0.problem = Some(problem.detail().to_owned());
        page.because_of(problem)
    }

    /// Browsers send a text's lines as the web does; they are stored as they were typed.
    fn with_unix_lines(mut self) -> Self {
        self.manuscript.body = self.manuscript.body.replace("\r\n", "\n");
        self
    }
}

fn signed_out() -> Problem {
    Problem::not_signed_in("you are signed out: sign in in another tab, then try again here")
}
