//! `GET /api/search`.

use reqwest::Method;
use serde_json::json;

use crate::client::Answer;
use crate::site::Site;

#[tokio::test]
async fn every_word_has_to_be_there_as_a_whole_word() {
    let site = Site::shared().await;
    let author = site.author().await;
    let id =
        author.publish("Quokka naïveté", "Its Straße runs (near) the *pademelon*-grove.").await;
    site.settled().await;
    let check = async |words: &str, found: bool| {
        let expected = if found { vec![id] } else { vec![] };
        assert_eq!(site.client().search(words).await, expected, "{words:?}");
    };
    check("quokka", true).await;
    check("QUOKKA pademelon", true).await;
    check("  grove   Quokka ", true).await;
    check("naivete", true).await;
    check("naïvete\u{301}", true).await;
    check("quokka wombat", false).await;
    check("quokk", false).await;
    check("okka", false).await;
    check("pademelons", false).await;
    check("pademelongrove", false).await;
}

#[tokio::test]
async fn operators_and_quotes_are_ordinary_characters() {
    let site = Site::shared().await;
    let author = site.author().await;
    let id = author.publish("Bilby or not", "numbat and title and near, c++ don't").await;
    site.settled().await;
    let client = site.client();
    for words in [
        "bilby NOT numbat",
        "numbat OR bilby",
        "NEAR(bilby numbat)",
        "title:bilby",
        "-bilby",
        "^bilby",
        "bilby*",
        "\"numbat bilby\"",
        "\"bilby",
        "bilby\"\"",
        "bilby + numbat",
        "{bilby} : numbat",
        "bilby c++",
        "bilby don't",
        "bilby \u{0} numbat",
        "bilby — ?",
        "bilby\\",
        "bilby' --",
    ] {
        assert_eq!(client.search(words).await, [id], "{words:?}");
    }
    for words in ["bilb*", "bilby AND wombat", "bilby -numbat wombat", "title:wombat bilby"] {
        assert!(client.search(words).await.is_empty(), "{words:?}");
    }
    for words in ["", " ", "\"", "\"\"", "*", "()", "\u{0}", "—", "!?"] {
        assert!(client.search(words).await.is_empty(), "{words:?}");
    }
    let none = client.get("/api/search").await;
    assert_eq!(none.expect_status(200), &json!({ "articles": [] }));
}

#[tokio::test]
async fn an_edit_is_found_and_what_it_replaced_is_not() {
    let site = Site::shared().await;
    let author = site.author().await;
    let id = author.publish("Kowari", "antechinus").await;
    let path = format!("/api/articles/{id}");
    site.settled().await;
    let edited = json!({ "title": "Kultarr", "body": "mulgara" });
    author.client.put(&path, &edited).await.expect_status(200);
    site.settled().await;
    let client = site.client();
    assert_eq!(client.search("kultarr mulgara").await, [id]);
    assert!(client.search("kowari").await.is_empty());
    assert!(client.search("antechinus").await.is_empty());
    author.client.delete(&path).await.expect_status(204);
    assert!(client.search("kultarr").await.is_empty(), "a deleted article is found");
    site.settled().await;
    assert!(client.search("kultarr").await.is_empty());
}

#[tokio::test]
async fn the_best_come_first_then_the_newest_and_at_most_fifty() {
    let site = Site::shared().await;
    let author = site.author().await;
    let mut same = Vec::new();
    for _ in 0..51 {
        same.push(author.publish("Plain", "one boodie among several other words").await);
    }
    let best = author.publish("Boodie boodie", "boodie boodie boodie").await;
    site.settled().await;
    let newest_first: Vec<i64> = same.into_iter().rev().collect();
    let client = site.client();
    let check = async |limit: Option<&str>, count: usize| {
        let request = client.request(Method::GET, "/api/search").query(&[("q", "boodie")]);
        let request = match limit {
            Some(limit) => request.query(&[("limit", limit)]),
            None => request,
        };
        let answer = Answer::to(request).await;
        let articles = answer.expect_status(200)["articles"].as_array().unwrap().clone();
        let ids: Vec<i64> = articles.iter().map(|found| found["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), count, "{limit:?}");
        assert_eq!(ids.first(), (count > 0).then_some(&best));
        assert_eq!(ids.get(1..).unwrap_or_default(), &newest_first[..count.saturating_sub(1)]);
    };
    check(None, 20).await;
    check(Some("0"), 0).await;
    check(Some("1"), 1).await;
    check(Some("50"), 50).await;
    check(Some("1000"), 50).await;
    for limit in ["-1", "x", "99999999999"] {
        let path = format!("/api/search?q=boodie&limit={limit}");
        client.get(&path).await.expect_problem(422);
    }
}

#[tokio::test]
async fn a_snippet_marks_the_hit_and_escapes_the_rest() {
    let site = Site::shared().await;
    let author = site.author().await;
    let id =
        author.publish("<i>Dunnart</i>", "<script>alert(1)</script> & a dibbler \u{2}\u{3}").await;
    site.settled().await;
    let answer = site.client().get("/api/search?q=dibbler").await;
    let found = &answer.expect_status(200)["articles"][0];
    assert_eq!(found["id"], id);
    assert_eq!(found["title"], "<i>Dunnart</i>");
    assert_eq!(found["author"], author.name);
    let snippet = found["snippet"].as_str().unwrap();
    assert!(snippet.contains("<mark>dibbler</mark>"), "{snippet}");
    assert!(!snippet.contains("<script"), "{snippet}");
    assert_eq!(snippet.matches("<mark>").count(), snippet.matches("</mark>").count(), "{snippet}");
    assert_eq!(found.as_object().unwrap().len(), 4, "{found}");
}

#[tokio::test]
async fn a_long_search_is_answered_and_an_endless_one_refused() {
    let site = Site::shared().await;
    let author = site.author().await;
    let words: Vec<String> = (0..120).map(|number| format!("bettong{number}")).collect();
    let id = author.publish("Long", &words.join(" ")).await;
    site.settled().await;
    let client = site.client();
    assert_eq!(client.search(&words[..90].join(" ")).await, [id]);
    let endless = client.request(Method::GET, "/api/search").query(&[("q", "a".repeat(1_001))]);
    Answer::to(endless).await.expect_problem(422);
    let page = client.get(&format!("/search?q={}", "a".repeat(1_000))).await;
    let page = page.expect_status(200).as_str().unwrap();
    assert!(page.contains("maxlength=\"1000\""), "a page lets nobody type more");
}
