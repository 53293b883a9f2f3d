//! What every answer says to a browser.

use reqwest::Method;

use crate::client::Answer;
use crate::site::Site;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; \
    frame-ancestors 'none'";

#[tokio::test]
async fn every_answer_is_guarded_errors_too() {
    let site = Site::shared().await;
    for path in ["/", "/api/audit", "/api/articles/0", "/api/no-such-route", "/no-such-page"] {
        let answer = site.client().get(path).await;
        assert_eq!(answer.header("content-security-policy"), POLICY, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert!(!answer.header("permissions-policy").is_empty(), "{path}");
        assert!(!answer.header("cache-control").is_empty(), "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "{path}");
    }
}

#[tokio::test]
async fn a_public_name_is_asked_over_https_from_then_on() {
    let site = Site::shared().await;
    let request = site.client().request(Method::GET, "/").header("host", "blog.example.org");
    let answer = Answer::to(request).await;
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
}

#[tokio::test]
async fn a_page_of_somebody_signed_in_is_not_kept() {
    let site = Site::shared().await;
    let author = site.author().await;
    let request = site.client().request(Method::GET, "/");
    let request = request.header("cookie", format!("session={}", author.token));
    assert_eq!(Answer::to(request).await.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_route_says_which_methods_it_knows() {
    let site = Site::shared().await;
    let request = site.client().request(Method::PATCH, "/api/articles/1");
    let answer = Answer::to(request).await;
    answer.expect_problem(405);
    assert_eq!(answer.header("allow"), "GET,HEAD,PUT,DELETE");
    site.client().get("/api/no-such-route").await.expect_problem(404);
    site.client().get("/api/").await.expect_problem(404);
}
