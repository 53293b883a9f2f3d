//! The cookie that signs a browser in.

use reqwest::Method;
use serde_json::json;

use crate::client::Answer;
use crate::site::Site;

#[tokio::test]
async fn neither_form_of_the_cookie_is_read_as_the_other() {
    let site = Site::shared().await;
    let author = site.author().await;
    let own = site.listen.to_string();
    let check = async |host: &str, cookie: &str, signed_in: bool| {
        let cookie = cookie.replace("TOKEN", &author.token);
        let request = site.client().request(Method::POST, "/api/articles");
        let request = request.header("host", host).header("cookie", &cookie);
        let answer = Answer::to(request.json(&json!({ "title": "A", "body": "B" }))).await;
        assert_eq!(answer.status, if signed_in { 201 } else { 401 }, "{host}, {cookie}");
    };
    check(&own, "session=TOKEN", true).await;
    check(&own, "other=1; session=TOKEN; more=2", true).await;
    check(&own, "__Host-session=TOKEN", false).await;
    check("localhost:8080", "session=TOKEN", true).await;
    check("[::1]:8080", "session=TOKEN", true).await;
    check("blog.example.org", "__Host-session=TOKEN", true).await;
    check("blog.example.org", "session=TOKEN", false).await;
    check("localhost.example.org", "session=TOKEN", false).await;
    check("127.0.0.1.example.org", "session=TOKEN", false).await;
    check(&own, "session=", false).await;
    check(&own, "session", false).await;
    check(&own, "SESSION=TOKEN", false).await;
}

#[tokio::test]
async fn a_wrong_token_in_the_header_is_not_made_good_by_a_cookie() {
    let site = Site::shared().await;
    let author = site.author().await;
    let stranger = site.client().with_token("not a token");
    let request = stranger.request(Method::POST, "/api/articles");
    let request = request.header("cookie", format!("session={}", author.token));
    Answer::to(request.json(&json!({ "title": "A", "body": "B" }))).await.expect_problem(401);
}
