//! What the last request did, said once by the page that follows it.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::cookie;

const COOKIE: &str = "notice";
const SECONDS_MAX: u32 = 30;

/// Travels in a cookie from the answer to a form to the page it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// The article's transaction took so long, its commit included.
    Published(Duration),
    Edited(Duration),
    Deleted(Duration),
}

/// Answers `page` so that the page it leads to says `notice`.
pub(super) fn said_by(request: &HeaderMap, notice: Notice, page: impl IntoResponse) -> Response {
    let cookie = cookie::set_for(request, COOKIE, &notice.to_cookie(), SECONDS_MAX);
    ([(header::SET_COOKIE, cookie)], page).into_response()
}

/// What the browser was told to say.
pub(super) fn read(request: &HeaderMap) -> Option<Notice> {
    cookie::value(request, COOKIE).and_then(Notice::from_cookie)
}

/// Middleware: a page that was shown has said it.
pub(super) async fn said_once(request: Request, next: Next) -> Response {
    let said = cookie::value(request.headers(), COOKIE);
    let clear = said.map(|_| cookie::set_for(request.headers(), COOKIE, "", 0));
    let mut response = next.run(request).await;
    if let Some(clear) = clear.filter(|_| !response.status().is_redirection()) {
        response.headers_mut().append(header::SET_COOKIE, clear);
    }
    response
}

impl Notice {
    /// As a cookie holds it.
    fn to_cookie(self) -> String {
        let (kind, took) = match self {
            Self::Published(took) => ("published", took),
            Self::Edited(took) => ("edited", took),
            Self::Deleted(took) => ("deleted", took),
        };
        format!("{kind}-{}", took.as_micros())
    }

    /// Takes what a browser sent; `None` if it is not one of ours.
    fn from_cookie(value: &str) -> Option<Self> {
        let (kind, microseconds) = value.split_once('-')?;
        let took = Duration::from_micros(microseconds.parse().ok()?);
        match kind {
            "published" => Some(Self::Published(took)),
            "edited" => Some(Self::Edited(took)),
            "deleted" => Some(Self::Deleted(took)),
            _ => None,
        }
    }

    /// What was done, and how long its author waited for that.
    pub(super) fn done(self) -> String {
        let (done, took) = match self {
            Self::Published(took) => ("Published", took),
            Self::Edited(took) => ("Saved", took),
            Self::Deleted(took) => ("Deleted", took),
        };
        format!("{done} in {:.1} ms", took.as_secs_f64() * 1_000.0)
    }

    /// What nobody waits for.
    pub(super) fn later(self) -> &'static str {
        match self {
            Self::Published(_) => "the count and the search will know in a moment",
            Self::Edited(_) | Self::Deleted(_) => "the search will know in a moment",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_comes_back_from_its_cookie() {
        let took = Duration::from_micros(2_345);
        for notice in [Notice::Published(took), Notice::Edited(took), Notice::Deleted(took)] {
            assert_eq!(Notice::from_cookie(&notice.to_cookie()), Some(notice));
        }
        assert_eq!(Notice::Published(took).done(), "Published in 2.3 ms");
    }

    #[test]
    fn a_forged_cookie_says_nothing() {
        for forged in ["", "published", "published-", "published--1", "published-<b>", "x-1", "-5"]
        {
            assert_eq!(Notice::from_cookie(forged), None, "{forged}");
        }
    }
}
