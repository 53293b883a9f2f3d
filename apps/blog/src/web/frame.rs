//! What every page has around its own content.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;

use super::notice::{self, Notice};
use crate::login::SignedIn;
use crate::state::App;

/// The page around a page; each template has one.
#[derive(Default)]
pub(super) struct Frame {
    /// The author who is signed in.
    pub(super) reader: Option<SignedIn>,
    /// What stands in the search box.
    pub(super) question: String,
    /// What the last request did.
    pub(super) notice: Option<Notice>,
}

impl Frame {
    /// Whether the reader is that author.
    pub(super) fn is_of(&self, author_id: i64) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.author_id == author_id)
    }
}

impl FromRequestParts<App> for Frame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        // Who cannot be looked up reads on as nobody; what needs a signed-in author says so itself.
        let reader = <SignedIn as OptionalFromRequestParts<App>>::from_request_parts(parts, app);
        let reader = reader.await.unwrap_or_default();
        let notice = notice::read(&parts.headers);
        Ok(Self { reader, notice, question: String::new() })
    }
}
