//! What every answer says to a browser besides its body.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::cookie;

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; \
    object-src 'none'; frame-ancestors 'none'";

const ALWAYS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// Middleware: adds them where the answer has none of its own.
pub(crate) async fn add(request: Request, next: Next) -> Response {
    let secure = !cookie::is_loopback(request.headers());
    let private = request.headers().contains_key(header::COOKIE)
        || request.headers().contains_key(header::AUTHORIZATION)
        || request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    let mut put = |name: HeaderName, value: &'static str| {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    };
    for (name, value) in ALWAYS {
        put(name, value);
    }
    if secure {
        // A browser heeds it over https only.
        put(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    put(header::CACHE_CONTROL, if private { "no-store" } else { "no-cache" });
    response
}
