//! `GET /`: 200 once the demo articles are stored, counted and searchable.

use std::time::Duration;

use crate::eventually::eventually;
use crate::site::{Place, READY_WITHIN, Site};

#[tokio::test]
async fn a_new_site_has_something_to_read_and_to_find() {
    let site = Site::start().await;
    let client = site.client();
    let first = client.get("/api/articles/1").await;
    let author = first.expect_status(200)["author"].as_str().unwrap().to_owned();
    let counted = client.get(&format!("/api/authors/{author}")).await;
    assert!(counted.expect_status(200)["articles"].as_i64().unwrap() > 0);
    let title = first.body["title"].as_str().unwrap();
    assert!(client.search(title).await.contains(&1), "{title}");
    let audit = site.settled().await;
    assert_eq!(audit["differences"], serde_json::json!([]));
    assert!(audit["authors"].as_i64().unwrap() >= 3 && audit["articles"].as_i64().unwrap() >= 12);
}

#[tokio::test]
async fn the_front_page_waits_for_both_workers_and_then_for_nothing_any_more() {
    let place = Place::new();
    let mut api = place.run(&["api"]);
    let client = place.client();
    let status = async || client.try_get("/").await.map(|answer| answer.status);
    let answered = eventually("the API answers", READY_WITHIN, status).await;
    assert_eq!(answered, 503);
    assert!(!client.get("/").await.header("retry-after").is_empty());

    let mut counter = place.run(&["worker", "counter"]);
    eventually("the demo articles are counted", READY_WITHIN, async || {
        let audit = client.get("/api/audit").await;
        audit.expect_status(200)["differences"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    assert_eq!(client.get("/").await.status, 503, "not yet searchable");

    let mut search = place.run(&["worker", "search"]);
    place.ready().await;
    for process in [&mut api, &mut counter, &mut search] {
        process.kill();
    }
    let _api = place.run(&["api"]);
    let answered = eventually("the API answers again", READY_WITHIN, status).await;
    assert_eq!(answered, 200, "once ready, always ready");
}

#[tokio::test]
async fn a_worker_started_first_waits_for_what_is_to_come() {
    let place = Place::new();
    let mut workers = [place.run(&["worker", "search"]), place.run(&["worker", "counter"])];
    eventually("a worker makes the database", READY_WITHIN, async || {
        place.database().exists().then_some(())
    })
    .await;
    let _api = place.run(&["api"]);
    place.ready().await;
    assert_eq!(place.settled().await["differences"], serde_json::json!([]));
    for worker in &mut workers {
        worker.signal("TERM");
        assert!(worker.ended(Duration::from_secs(10)).await.success());
    }
}

#[tokio::test]
async fn the_demo_articles_come_once() {
    let place = Place::new();
    let mut site = place.run(&[]);
    place.ready().await;
    let before = place.settled().await;
    site.signal("TERM");
    assert!(site.ended(Duration::from_secs(10)).await.success());
    let _site = place.run(&[]);
    place.ready().await;
    assert_eq!(place.settled().await, before);
}
