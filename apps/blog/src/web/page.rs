//! A template as an answer.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};

use crate::problem::Problem;

/// Answers the page that `T` describes.
pub(super) struct Page<T>(pub(super) T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => Html(html).into_response(),
            Err(error) => Problem::internal(&error).into_response(),
        }
    }
}

impl<T: Template> Page<T> {
    /// The same page where something went wrong: with the problem's status and headers.
    pub(super) fn because_of(self, problem: &Problem) -> Response {
        let mut response = self.into_response();
        problem.dress(&mut response);
        response
    }
}
