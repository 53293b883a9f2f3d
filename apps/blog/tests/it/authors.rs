//! `GET /api/authors/{name}`.

use std::time::Duration;

use serde_json::json;

use crate::eventually::eventually;
use crate::site::Site;

#[tokio::test]
async fn the_number_of_articles_follows_what_is_published_and_deleted() {
    let site = Site::shared().await;
    let author = site.author().await;
    let path = format!("/api/authors/{}", author.name);
    let none = json!({ "name": author.name, "articles": 0 });
    assert_eq!(site.client().get(&path).await.expect_status(200), &none);

    let first = author.publish("First", "One").await;
    author.publish("Second", "Two").await;
    counted(&site, &path, 2).await;

    let first = format!("/api/articles/{first}");
    let edited = json!({ "title": "First again", "body": "One" });
    author.client.put(&first, &edited).await.expect_status(200);
    author.client.delete(&first).await.expect_status(204);
    counted(&site, &path, 1).await;
    site.settled().await;
    assert_eq!(site.client().get(&path).await.body["articles"], 1);
}

#[tokio::test]
async fn a_count_is_never_kept_by_a_cache() {
    let site = Site::shared().await;
    let author = site.author().await;
    let answer = site.client().get(&format!("/api/authors/{}", author.name)).await;
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn nobody_has_a_name_that_was_not_signed_up() {
    let site = Site::shared().await;
    for name in ["nobody-at-all", "%00", "%ff", "A", "%27%20or%201=1"] {
        site.client().get(&format!("/api/authors/{name}")).await.expect_problem(404);
    }
}

async fn counted(site: &Site, path: &str, articles: i64) {
    let client = site.client();
    eventually("the count follows", Duration::from_secs(10), async || {
        (client.get(path).await.expect_status(200)["articles"] == articles).then_some(())
    })
    .await;
}
