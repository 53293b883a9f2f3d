//! No other site makes a browser act in its user's name here.
//!
//! The check of Go 1.25's `CrossOriginProtection`: the browser itself says where a request comes from.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::problem::Problem;

/// Middleware: refuses what another site sends.
pub(crate) async fn protect(request: Request, next: Next) -> Result<Response, Problem> {
    if is_safe(request.method()) || is_our_own(request.headers()) {
        return Ok(next.run(request).await);
    }
    Err(Problem::forbidden("the request comes from another site"))
}

/// No such request changes anything here.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_our_own(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    match headers.get(header::ORIGIN) {
        // No browser: it holds no cookie that a page could make use of.
        None => true,
        Some(origin) => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
            matches!((origin, host), (Some((_, origin)), Some(host)) if origin == host)
        }
    }
}
