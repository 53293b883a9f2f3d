//! Read your own writes: the receipt of a change travels to its author, and back with what is read next, which then shows that
//! change, though a worker keeps it.
//!
//! A program sends the header `Consign-Receipt` that it was answered; a browser keeps it in a cookie.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};
use consign::{Freshness, Receipt};

use crate::config::WorkerName;
use crate::cookie;
use crate::problem::Problem;
use crate::state::App;

const RECEIPT: HeaderName = HeaderName::from_static("consign-receipt");
const FRESHNESS: HeaderName = HeaderName::from_static("consign-freshness");
const COOKIE: &str = "receipt";
/// After so many seconds a browser's own change has long been seen.
const SECONDS_MAX: u32 = 60;
/// Who asks is answered after this, whatever the worker has done by then.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// What the asker has written before, as a program says it.
pub(crate) struct Own(Option<Receipt>);

/// What the asker has written before, as a browser says it: anybody can put anything into a cookie, so what is no receipt is none.
pub(crate) struct Kept(Option<Receipt>);

/// Part of an answer: the receipt of what was changed.
pub(crate) struct Changed(pub(crate) Receipt);

/// Part of an answer: whether what was read shows what the asker had written; nothing where nothing was asked.
pub(crate) struct Shown(Option<Freshness>);

impl Own {
    /// Waits until the worker has done what is to be seen, but not for long.
    pub(crate) async fn seen_by(&self, app: &App, worker: WorkerName) -> Result<Shown, Problem> {
        let Some(receipt) = &self.0 else { return Ok(Shown(None)) };
        match wait(app, worker, receipt).await {
            Err(error) if error.code() == "unknown-receipt" => Err(no_receipt()),
            seen => Ok(Shown(Some(seen?))),
        }
    }
}

impl Kept {
    /// The same; `false`: it is not to be seen yet.
    pub(crate) async fn is_seen_by(&self, app: &App, worker: WorkerName) -> bool {
        let Some(receipt) = &self.0 else { return true };
        // A receipt of another database has nothing to wait for, and a page is shown all the same.
        let seen = wait(app, worker, receipt).await;
        seen.map_or(true, Freshness::is_caught_up)
    }
}

async fn wait(app: &App, worker: WorkerName, receipt: &Receipt) -> consign::Result<Freshness> {
    app.consign.caught_up(worker.as_str(), receipt).timeout(WAIT_MAX).await
}

fn no_receipt() -> Problem {
    Problem::invalid(
        "Consign-Receipt is no receipt of this blog: send it as it was answered, or not",
    )
}

/// Answers `page`, and lets the browser keep the receipt.
pub(crate) fn kept_by(request: &HeaderMap, receipt: &Receipt, page: impl IntoResponse) -> Response {
    let mut response = page.into_response();
    let cookie = cookie::set_for(request, COOKIE, &receipt.encode(), SECONDS_MAX);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

impl FromRequestParts<App> for Own {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(RECEIPT) else { return Ok(Self(None)) };
        let receipt = value.to_str().ok().and_then(|text| Receipt::decode(text).ok());
        receipt.map(|receipt| Self(Some(receipt))).ok_or_else(no_receipt)
    }
}

impl FromRequestParts<App> for Kept {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let value = cookie::value(&parts.headers, COOKIE);
        Ok(Self(value.and_then(|text| Receipt::decode(text).ok())))
    }
}

impl IntoResponseParts for Changed {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        let value = HeaderValue::from_str(&self.0.encode());
        let value = value.expect("a receipt's text goes into a header");
        response.headers_mut().insert(RECEIPT, value);
        Ok(response)
    }
}

impl IntoResponseParts for Shown {
    type Error = Infallible;

    fn into_response_parts(self, mut response: ResponseParts) -> Result<ResponseParts, Infallible> {
        let Some(freshness) = self.0 else { return Ok(response) };
        let word = match freshness {
            Freshness::CaughtUp => "caught-up",
            Freshness::Waiting => "waiting",
            Freshness::Dead => "dead",
            Freshness::TimedOut { .. } => "behind",
        };
        response.headers_mut().insert(FRESHNESS, HeaderValue::from_static(word));
        Ok(response)
    }
}
