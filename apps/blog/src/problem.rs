//! Why a request was not done, as RFC 9457 says it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

const BUSY_RETRY_SECONDS: u64 = 1;

// SQLite's primary result codes.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_FULL: i32 = 13;
// Extended: the shared-memory file beside the database could not grow, since the disk is full.
const SQLITE_IOERR_SHMSIZE: i32 = 4_874;

/// An error as the person or program that asked is told; the API answers it as `application/problem+json`.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    retry_after: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), retry_after: None }
    }

    /// 422: what was sent breaks a rule, which `detail` names.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 413: more was sent than is taken.
    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 401: nobody is signed in, or the name and password do not match.
    pub(crate) fn not_signed_in(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 403: it is not the asker's to do.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: there is no such thing.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405: the route knows other methods.
    pub(crate) fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this route does not know that method")
    }

    /// 409: it is somebody else's already.
    pub(crate) fn taken(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 429: too many failed before; `seconds` later it may be tried again.
    pub(crate) fn too_many_failures(seconds: u64) -> Self {
        let detail = format!("too many attempts failed: try again in {seconds} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(seconds)
    }

    /// 408: the rest of the request did not come.
    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive")
    }

    /// 503: there is more to do than can be done just now.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(BUSY_RETRY_SECONDS)
    }

    /// 507: nothing more can be stored.
    fn disk_full() -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "the disk is full: nothing was stored")
    }

    /// 500: a fault of ours. The log has its cause, the answer does not.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed, and its log says why")
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// A sentence for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// Puts what the answer's headers must say, whatever its body is.
    pub(crate) fn dress(&self, response: &mut Response) {
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (kind, body.to_string()).into_response();
        self.dress(&mut response);
        // What is not the API makes a page of it.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<consign::Error> for Problem {
    fn from(error: consign::Error) -> Self {
        if error.is_full() {
            return Self::disk_full();
        }
        if error.is_busy() || error.is_group_failed() {
            tracing::warn!(%error, "a request was turned away");
            return Self::busy("too many changes at once: try again");
        }
        if error.is_unknown() {
            tracing::warn!(%error, "a request's outcome is unknown");
            return Self::busy(
                "it is not known whether this was stored: look before you try again",
            );
        }
        Self::internal(&error)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::busy("too many requests at once: try again");
        }
        let code = sqlite_code(&error).unwrap_or_default();
        match code & 0xff {
            _ if code == SQLITE_IOERR_SHMSIZE => Self::disk_full(),
            SQLITE_FULL => Self::disk_full(),
            SQLITE_BUSY | SQLITE_LOCKED => Self::busy("the database is busy: try again"),
            _ => Self::internal(&error),
        }
    }
}

/// The extended result code, where SQLite itself refused.
pub(crate) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}
