//! A problem as a page: people are told what programs are told, in words and with a way on.

use askama::Template;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;

use super::frame::Frame;
use super::page::Page;
use crate::problem::Problem;
use crate::state::App;

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    frame: Frame,
    status: StatusCode,
    detail: String,
}

/// The front page while the demo articles are being counted; it asks again by itself.
#[derive(Template)]
#[template(path = "starting.html")]
struct StartingPage {
    frame: Frame,
}

/// Middleware: outside the API, a problem is answered as a page.
pub(crate) async fn as_pages(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let (asked_as, front) = (parts.clone(), parts.uri.path() == "/");
    let mut response = next.run(Request::from_parts(asked_as, body)).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let Ok(frame) = Frame::from_request_parts(&mut parts, &app).await;
    if front && problem.status() == StatusCode::SERVICE_UNAVAILABLE {
        return Page(StartingPage { frame }).because_of(&problem);
    }
    let (status, detail) = (problem.status(), problem.detail().to_owned());
    Page(ProblemPage { frame, status, detail }).because_of(&problem)
}

impl ProblemPage {
    fn heading(&self) -> &'static str {
        match self.status {
            StatusCode::NOT_FOUND => "Nothing here",
            StatusCode::FORBIDDEN => "Not yours to do",
            StatusCode::UNAUTHORIZED => "Sign in first",
            StatusCode::SERVICE_UNAVAILABLE => "Too much at once",
            StatusCode::INSUFFICIENT_STORAGE => "The disk is full",
            status if status.is_client_error() => "That was not understood",
            _ => "Something broke",
        }
    }
}
