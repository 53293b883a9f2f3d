//! Read your own writes: the receipt of a change, sent along with what is read next.

use std::time::Duration;

use consign_test::Random;
use reqwest::Method;
use reqwest::header::COOKIE;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::eventually::eventually;
use crate::site::{Place, Site};

const SEEN_WITHIN: Duration = Duration::from_secs(20);
const LATE: &str = "still being counted";

async fn ask(client: &Client, path: &str, receipt: &str) -> Answer {
    Answer::to(client.request(Method::GET, path).header("consign-receipt", receipt)).await
}

/// Asks until the answer claims to show the change.
async fn shown(client: &Client, path: &str, receipt: &str) -> Value {
    eventually("the answer shows the change", SEEN_WITHIN, async || {
        let answer = ask(client, path, receipt).await;
        answer.expect_status(200);
        (answer.header("consign-freshness") == "caught-up").then_some(answer.body)
    })
    .await
}

#[tokio::test]
async fn who_sends_the_receipt_along_reads_what_he_has_written() {
    let site = Site::shared().await;
    let author = site.author().await;
    let path = format!("/api/authors/{}", author.name);
    let mut random = Random::new("own writes");
    let mut live = Vec::new();
    for round in 0..20 {
        let delete = (!live.is_empty() && random.below(3) == 0).then(|| live.pop()).flatten();
        let answer = match delete {
            Some(id) => author.client.delete(&format!("/api/articles/{id}")).await,
            None => author.client.publish("Own", &format!("ownword{round}")).await,
        };
        let receipt = answer.header("consign-receipt").to_owned();
        assert!(!receipt.is_empty(), "{answer:?}");
        if delete.is_none() {
            live.push(answer.expect_status(201)["id"].as_i64().unwrap());
            let search = format!("/api/search?q=ownword{round}");
            let found = shown(&author.client, &search, &receipt).await;
            assert_eq!(found["articles"][0]["id"], *live.last().unwrap());
        }
        assert_eq!(shown(&author.client, &path, &receipt).await["articles"], live.len());
    }
}

#[tokio::test]
async fn without_a_worker_the_answer_comes_all_the_same_and_says_so() {
    let place = Place::new();
    let (_api, _search) = (place.run(&["api"]), place.run(&["worker", "search"]));
    let mut counter = place.run(&["worker", "counter"]);
    place.ready().await;
    let author = place.author().await;
    counter.kill();
    let published = author.client.publish("Alone", "a text").await;
    let receipt = published.header("consign-receipt");
    let path = format!("/api/authors/{}", author.name);
    let answer = ask(&author.client, &path, receipt).await;
    assert_eq!(answer.expect_status(200)["articles"], 0);
    assert_eq!(answer.header("consign-freshness"), "behind");
    let (page, cookies) = (
        format!("/authors/{}", author.name),
        format!("session={}; receipt={receipt}", author.token),
    );
    assert!(look(&author.client, &page, &cookies).await.contains(LATE));

    let _counter = place.run(&["worker", "counter"]);
    assert_eq!(shown(&author.client, &path, receipt).await["articles"], 1);
    let text = look(&author.client, &page, &cookies).await;
    assert!(!text.contains(LATE) && text.contains("id=\"count-1\""), "{text}");
}

async fn look(client: &Client, page: &str, cookies: &str) -> String {
    let answer = Answer::to(client.request(Method::GET, page).header(COOKIE, cookies)).await;
    answer.expect_status(200).as_str().expect("a page").to_owned()
}

#[tokio::test]
async fn an_author_is_shown_the_count_of_what_the_form_has_just_changed() {
    let site = Site::shared().await;
    let author = site.author().await;
    let session = format!("session={}", author.token);
    let page = format!("/authors/{}", author.name);
    let request = author.client.request(Method::POST, "/write").header(COOKIE, &session);
    let form = [("title", "By hand"), ("body", "a text")];
    let sent = Answer::to(request.header("sec-fetch-site", "same-origin").form(&form)).await;
    sent.expect_status(303);
    let kept = sent.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let kept = kept.filter_map(|cookie| cookie.split(';').next());
    let receipt = kept.filter(|pair| pair.starts_with("receipt=")).collect::<String>();
    let cookies = format!("{session}; {receipt}");
    let text = eventually("its own change is shown", SEEN_WITHIN, async || {
        let text = look(&author.client, &page, &cookies).await;
        (!text.contains(LATE)).then_some(text)
    })
    .await;
    assert!(text.contains("id=\"count-1\""), "{text}");
}

#[tokio::test]
async fn what_is_no_receipt_is_refused_in_a_header_and_ignored_in_a_cookie() {
    let site = Site::shared().await;
    let author = site.author().await;
    let path = format!("/api/authors/{}", author.name);
    for nonsense in ["nonsense", "", "AQ==", "\u{e9}"] {
        ask(&author.client, &path, nonsense).await.expect_problem(422);
        let request = author.client.request(Method::GET, &format!("/authors/{}", author.name));
        let cookies = format!("session={}; receipt={nonsense}", author.token);
        Answer::to(request.header(COOKIE, cookies)).await.expect_status(200);
    }
    assert_eq!(author.client.get(&path).await.expect_status(200)["articles"], json!(0));
    let published = author.client.publish("Elsewhere", "a text").await;
    let elsewhere = Site::start().await;
    let stranger = elsewhere.author().await;
    let path = format!("/api/authors/{}", stranger.name);
    let receipt = published.header("consign-receipt");
    ask(&stranger.client, &path, receipt).await.expect_problem(422);
}
