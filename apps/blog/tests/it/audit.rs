//! `GET /api/audit`.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::eventually::eventually;
use crate::site::{Place, Site};

#[tokio::test]
async fn once_nothing_lags_nothing_differs() {
    let site = Site::start().await;
    let author = site.author().await;
    let before = site.settled().await;
    let mut kept = Vec::new();
    for number in 0..20 {
        kept.push(author.publish(&format!("Number {number}"), "Text").await);
    }
    for id in kept.iter().step_by(4) {
        author.client.delete(&format!("/api/articles/{id}")).await.expect_status(204);
    }
    let audit = site.settled().await;
    assert_eq!(audit["differences"], json!([]));
    assert_eq!(audit["authors"], before["authors"]);
    assert_eq!(audit["articles"], before["articles"].as_i64().unwrap() + 15);
    assert_eq!(names(&audit), ["counter", "mailer", "search"]);
}

#[tokio::test]
async fn a_worker_that_nobody_started_lags() {
    let place = Place::new();
    let _api = place.run(&["api"]);
    let client = place.client();
    let audit = eventually("the API answers", Duration::from_secs(30), async || {
        client.try_get("/api/audit").await
    })
    .await;
    let audit = audit.expect_status(200);
    assert_eq!(names(audit), ["counter", "search"]);
    for subscription in audit["subscriptions"].as_array().unwrap() {
        assert!(subscription["lag"].as_u64().unwrap() >= 1, "{audit}");
    }
    assert!(!audit["differences"].as_array().unwrap().is_empty(), "the demo articles: {audit}");
}

#[tokio::test]
async fn a_count_that_is_off_is_named() {
    let site = Site::start().await;
    let author = site.author().await;
    author.publish("A title", "A text").await;
    site.settled().await;
    let options = SqliteConnectOptions::new().filename(site.database());
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(
        "update author_counts set articles = articles + 3
         where author_id = (select id from authors where name = ?1)",
    )
    .bind(&author.name)
    .execute(&mut connection)
    .await
    .unwrap();
    sqlx::query("insert into author_counts (author_id, articles) values (999, 2)")
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let audit = site.settled().await;
    let expected = json!([
        { "author": "#999", "counted": 2, "stored": 0 },
        { "author": author.name, "counted": 4, "stored": 1 },
    ]);
    assert_eq!(audit["differences"], expected);
}

fn names(audit: &Value) -> Vec<&str> {
    let subscriptions = audit["subscriptions"].as_array().unwrap();
    subscriptions.iter().map(|subscription| subscription["name"].as_str().unwrap()).collect()
}
