//! Who may send a request that changes something.

use reqwest::Method;
use serde_json::json;

use crate::client::Answer;
use crate::site::Site;

#[tokio::test]
async fn another_site_changes_nothing() {
    let site = Site::shared().await;
    let author = site.author().await;
    let own = format!("http://{}", site.listen);
    let others_port = "http://127.0.0.1:1";
    let lookalike = format!("http://{}.example.org", site.listen);
    let origins = [None, Some(own.as_str()), Some("https://example.org"), Some("null")];
    let sites = [None, Some("same-origin"), Some("none"), Some("same-site"), Some("cross-site")];
    for fetch_site in sites {
        for origin in origins {
            let allowed = match (fetch_site, origin) {
                (Some("same-origin" | "none"), _) | (None, None) => true,
                (None, Some(origin)) => origin == own,
                _ => false,
            };
            check(&author.client, fetch_site, origin, allowed).await;
        }
    }
    for origin in [others_port, &lookalike, "", "http://", "127.0.0.1"] {
        check(&author.client, None, Some(origin), false).await;
    }
    for fetch_site in ["", "Same-Origin", "same-origin, none"] {
        check(&author.client, Some(fetch_site), None, false).await;
    }
}

#[tokio::test]
async fn reading_is_everybodys() {
    let site = Site::shared().await;
    for method in [Method::GET, Method::HEAD] {
        let request = site.client().request(method, "/api/audit");
        let request = request.header("sec-fetch-site", "cross-site").header("origin", "null");
        Answer::to(request).await.expect_status(200);
    }
}

async fn check(
    author: &crate::client::Client,
    fetch_site: Option<&str>,
    origin: Option<&str>,
    allowed: bool,
) {
    let mut request = author.request(Method::POST, "/api/articles");
    if let Some(fetch_site) = fetch_site {
        request = request.header("sec-fetch-site", fetch_site);
    }
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let answer = Answer::to(request.json(&json!({ "title": "A", "body": "B" }))).await;
    let expected = if allowed { 201 } else { 403 };
    assert_eq!(answer.status, expected, "Sec-Fetch-Site: {fetch_site:?}, Origin: {origin:?}");
}
