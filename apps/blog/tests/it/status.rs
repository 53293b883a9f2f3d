//! `GET /api/subscriptions`, and `/status`.

use std::time::Duration;

use serde_json::Value;

use crate::eventually::eventually;
use crate::live::Stream;
use crate::site::{Place, Site};

const FIELDS: [&str; 9] =
    ["cause", "dead", "lag", "name", "oldest_seconds", "owners", "reads", "state", "waiting"];
const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// One of them, once somebody has started it.
async fn subscription(place: &Place, name: &str) -> Option<Value> {
    let body = place.client().try_get("/api/subscriptions").await?.body;
    let mut all = body["subscriptions"].as_array()?.iter();
    all.find(|subscription| subscription["name"] == name).cloned()
}

#[tokio::test]
async fn each_subscription_says_how_it_stands() {
    let site = Site::start().await;
    site.author().await.publish("A title", "A text").await;
    site.settled().await;
    let answer = site.client().get("/api/subscriptions").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let body = answer.expect_status(200);
    assert_eq!(body.as_object().unwrap().len(), 1);
    let all = body["subscriptions"].as_array().unwrap();
    let names: Vec<_> = all.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["counter", "mailer", "search"]);
    for one in all {
        let mut fields: Vec<_> = one.as_object().unwrap().keys().collect();
        fields.sort_unstable();
        assert_eq!(fields, FIELDS);
        let name = one["name"].as_str().unwrap();
        assert_eq!(one["reads"], if name == "mailer" { "queue" } else { "stream" });
        assert_eq!((&one["lag"], &one["waiting"], &one["dead"]), (&0.into(), &0.into(), &0.into()));
        assert_eq!(one["oldest_seconds"], Value::Null, "{one}");
        assert_eq!((&one["state"], &one["cause"]), (&"idle".into(), &"at the end".into()), "{one}");
    }
    for name in ["counter", "mailer", "search"] {
        let expected: Vec<u64> = {
            let mut ids: Vec<u64> =
                site.process.children(name).into_iter().map(u64::from).collect();
            ids.sort_unstable();
            ids
        };
        eventually("each process owns a part", SEEN_WITHIN, async || {
            let one = subscription(&site, name).await?;
            let owners = one["owners"].as_array()?.iter().filter_map(Value::as_u64);
            (owners.collect::<Vec<_>>() == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn without_a_process_a_subscription_is_stalled_and_says_why() {
    let place = Place::new();
    let _api = place.run(&["api"]);
    let mut counter = place.run(&["worker", "counter"]);
    eventually("the counter is idle", SEEN_WITHIN, async || {
        (subscription(&place, "counter").await?["state"] == "idle").then_some(())
    })
    .await;
    counter.signal("TERM");
    assert!(counter.ended(Duration::from_secs(10)).await.success());
    place.author().await.publish("Nobody counts it", "A text").await;
    let stalled = eventually("the counter is stalled", SEEN_WITHIN, async || {
        subscription(&place, "counter").await.filter(|one| one["state"] == "stalled")
    })
    .await;
    assert_eq!(stalled["lag"], 1);
    assert!(stalled["oldest_seconds"].as_f64().unwrap() >= 0.0, "{stalled}");
    assert_eq!(stalled["owners"], serde_json::json!([]));
    assert!(!stalled["cause"].as_str().unwrap().is_empty(), "{stalled}");
    let page = place.client().get("/status").await;
    let page = page.expect_status(200).as_str().unwrap();
    assert!(page.contains(stalled["cause"].as_str().unwrap()), "{page}");
}

#[tokio::test]
async fn an_open_status_page_is_told_what_changes() {
    let site = Site::start().await;
    let page = site.client().get("/status").await;
    let page = page.expect_status(200).as_str().unwrap();
    for name in ["counter", "mailer", "search"] {
        assert!(page.contains(&format!("id=\"subscription-{name}\"")), "{page}");
    }
    let footer = page.split("<footer").nth(1).unwrap();
    assert!(footer.contains("href=\"/status\""), "every page leads there");
    let query = page.split("/live?").nth(1).unwrap().split('"').next().unwrap();
    let mut stream = Stream::open(&site.client(), query).await;
    stream.until("id=\"counter-idle\"").await;
    let counter = site.process.child("counter", &[]).await;
    crate::process::signal(counter, "KILL");
    let started = site.process.child("counter", &[counter]).await;
    stream.until(&format!(">{started}<")).await;
}
