//! `/api/articles`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::site::Site;

const BODY_BYTES_MAX: usize = 65_536;

#[tokio::test]
async fn an_article_reads_as_it_was_written() {
    let site = Site::shared().await;
    let author = site.author().await;
    let (title, body) = (" Spaces  and <b>signs</b> ", "One *word*.\r\n\n\ttwo");
    let published = author.client.publish(title, body).await;
    let id = published.expect_status(201)["id"].as_i64().unwrap();
    assert_eq!(published.header("location"), format!("/api/articles/{id}"));
    let read = site.client().get(published.header("location")).await;
    let article = read.expect_status(200);
    assert_eq!(article["id"], id);
    assert_eq!(article["title"], title);
    assert_eq!(article["author"], author.name);
    assert_eq!(article["body"], body);
    assert!(article["html"].as_str().unwrap().contains("<em>word</em>"), "{article}");
    assert!(is_rfc3339(&article["published_at"]), "{article}");
    assert_eq!(article["published_at"], article["updated_at"]);
    let fields: Vec<_> = article.as_object().unwrap().keys().collect();
    assert_eq!(fields.len(), 7, "{fields:?}");
}

#[tokio::test]
async fn an_edited_article_is_the_new_one_at_once() {
    let site = Site::shared().await;
    let author = site.author().await;
    let id = author.publish("Before", "Old").await;
    let path = format!("/api/articles/{id}");
    let before = author.client.get(&path).await.body;
    let edited = author.client.put(&path, &json!({ "title": "After", "body": "New" })).await;
    let article = edited.expect_status(200);
    assert_eq!(article["title"], "After");
    assert_eq!(article["body"], "New");
    assert_eq!(article["published_at"], before["published_at"]);
    assert!(is_rfc3339(&article["updated_at"]), "{article}");
    assert_eq!(article, site.client().get(&path).await.expect_status(200));
}

#[tokio::test]
async fn a_deleted_article_is_gone_at_once() {
    let site = Site::shared().await;
    let author = site.author().await;
    let path = format!("/api/articles/{}", author.publish("A title", "A text").await);
    let deleted = author.client.delete(&path).await;
    assert_eq!(deleted.expect_status(204), "");
    author.client.get(&path).await.expect_problem(404);
    author.client.delete(&path).await.expect_problem(404);
    author.client.put(&path, &json!({ "title": "A", "body": "B" })).await.expect_problem(404);
}

#[tokio::test]
async fn an_article_is_its_authors_alone() {
    let site = Site::shared().await;
    let (author, other) = (site.author().await, site.author().await);
    let path = format!("/api/articles/{}", author.publish("A title", "A text").await);
    let before = author.client.get(&path).await.body;
    let changed = json!({ "title": "Mine", "body": "Now" });
    other.client.put(&path, &changed).await.expect_problem(403);
    other.client.delete(&path).await.expect_problem(403);
    site.client().put(&path, &changed).await.expect_problem(401);
    site.client().delete(&path).await.expect_problem(401);
    assert_eq!(&before, site.client().get(&path).await.expect_status(200));
}

#[tokio::test]
async fn who_is_not_signed_in_publishes_nothing() {
    let site = Site::shared().await;
    site.client().publish("A title", "A text").await.expect_problem(401);
}

#[tokio::test]
async fn titles_and_texts_have_their_bounds() {
    let site = Site::shared().await;
    let author = site.author().await;
    let long = "x".repeat(BODY_BYTES_MAX);
    let wide = "ü".repeat(BODY_BYTES_MAX / 2);
    let path = format!("/api/articles/{}", author.publish("A title", "A text").await);
    let check = async |title: &str, body: &str, status: u16| {
        let published = author.client.publish(title, body).await;
        let edited = author.client.put(&path, &json!({ "title": title, "body": body })).await;
        if status == 201 {
            published.expect_status(201);
            edited.expect_status(200);
        } else {
            published.expect_problem(status);
            edited.expect_problem(status);
        }
    };
    check("", "A text", 422).await;
    check(" \t\n\u{a0}", "A text", 422).await;
    check("\u{200b}\u{feff}\u{2060}", "A text", 422).await;
    check("\u{200b}x", "A text", 201).await;
    check("A title", "", 422).await;
    check(&"ü".repeat(201), "A text", 422).await;
    check(&"ü".repeat(200), "x", 201).await;
    check("A title", &long, 201).await;
    check("A title", &wide, 201).await;
    check("A title", &format!("{long}x"), 413).await;
    check("A title", &format!("{wide}x"), 413).await;
}

#[tokio::test]
async fn unknown_fields_and_broken_json_are_refused() {
    let site = Site::shared().await;
    let author = site.author().await;
    let extra = json!({ "title": "A", "body": "B", "author_id": 1 });
    author.client.post("/api/articles", &extra).await.expect_problem(422);
    author.client.post("/api/articles", &json!({ "title": "A" })).await.expect_problem(422);
    let broken = author.client.request(Method::POST, "/api/articles").body("{\"title\": ");
    Answer::to(broken).await.expect_problem(422);
}

#[tokio::test]
async fn a_request_over_512_kib_is_answered_though_it_is_too_large() {
    let site = Site::shared().await;
    let author = site.author().await;
    for bytes in [512 * 1024 + 1, 6 * 1024 * 1024] {
        let request = author.client.request(Method::POST, "/api/articles").body(vec![b' '; bytes]);
        Answer::to(request).await.expect_problem(413);
    }
    // White space counts for the request, not for the text.
    let mut padded = json!({ "title": "A", "body": "B" }).to_string().into_bytes();
    padded.resize(512 * 1024, b' ');
    let request = author.client.request(Method::POST, "/api/articles").body(padded);
    Answer::to(request).await.expect_status(201);
}

#[tokio::test]
async fn what_is_no_id_names_no_article() {
    let site = Site::shared().await;
    let author = site.author().await;
    for id in ["0", "-1", "999999999", "99999999999999999999", "one", "1.5", "%00", "%ff"] {
        let path = format!("/api/articles/{id}");
        author.client.get(&path).await.expect_problem(404);
        author.client.delete(&path).await.expect_problem(404);
    }
}

#[tokio::test]
async fn the_address_of_a_deleted_article_is_never_another_ones() {
    let site = Site::start().await;
    let author = site.author().await;
    let last = author.publish("Last", "One").await;
    author.client.delete(&format!("/api/articles/{last}")).await.expect_status(204);
    assert!(author.publish("Next", "One").await > last);
}

fn is_rfc3339(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).is_ok()
}
