//! `POST /api/accounts` and `POST /api/sessions`.

use reqwest::Method;
use serde_json::json;

use crate::client::{Answer, PASSWORD};
use crate::site::Site;

#[tokio::test]
async fn who_signs_up_can_sign_in_and_publish() {
    let site = Site::shared().await;
    let client = site.client();
    let made = client.sign_up("vera-1", PASSWORD).await;
    assert_eq!(made.expect_status(201), &json!({ "name": "vera-1" }));
    let signed_in = client.sign_in("vera-1", PASSWORD).await;
    let token = signed_in.expect_status(201)["token"].as_str().unwrap();
    client.with_token(token).publish("A title", "A text").await.expect_status(201);
}

#[tokio::test]
async fn a_name_is_somebodys_once_only() {
    let site = Site::shared().await;
    let client = site.client();
    client.sign_up("first-come", PASSWORD).await.expect_status(201);
    client.sign_up("first-come", "another sentence").await.expect_problem(409);
    client.sign_in("first-come", PASSWORD).await.expect_status(201);
    client.sign_in("first-come", "another sentence").await.expect_problem(401);
}

#[tokio::test]
async fn of_two_who_want_a_name_at_once_one_has_it() {
    let site = Site::shared().await;
    let [one, other] = [site.client(), site.client()];
    let (one, other) =
        tokio::join!(one.sign_up("contended", PASSWORD), other.sign_up("contended", PASSWORD));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test]
async fn names_and_passwords_have_their_bounds() {
    let site = Site::shared().await;
    let client = site.client();
    let names = ["", "ab", &"a".repeat(33), "Upper", "with space", "ünder", "a/b", "a.b", "a\0b"];
    for name in names {
        client.sign_up(name, PASSWORD).await.expect_problem(422);
    }
    for password in ["", "seven77", &"a".repeat(257), &"ü".repeat(257)] {
        client.sign_up("bounded", password).await.expect_problem(422);
    }
    for (name, password) in [("a-_", "  8 long".to_owned()), (&"z9".repeat(16), "ü".repeat(256))] {
        client.sign_up(name, &password).await.expect_status(201);
        client.sign_in(name, &password).await.expect_status(201);
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer() {
    let site = Site::shared().await;
    let author = site.author().await;
    let client = site.client();
    let wrong = client.sign_in(&author.name, "not the password").await;
    let unknown = client.sign_in("nobody-of-that-name", PASSWORD).await;
    wrong.expect_problem(401);
    unknown.expect_problem(401);
    assert_eq!(wrong.body, unknown.body);
    assert_eq!(wrong.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn nobody_signs_in_as_a_demo_author() {
    let site = Site::shared().await;
    let client = site.client();
    let author = client.get("/api/articles/1").await.expect_status(200)["author"].clone();
    client.sign_in(author.as_str().unwrap(), "").await.expect_problem(401);
    client.sign_in(author.as_str().unwrap(), PASSWORD).await.expect_problem(401);
}

#[tokio::test]
async fn only_the_fields_that_are_asked_for_are_taken() {
    let site = Site::shared().await;
    let client = site.client();
    let bodies = [
        json!({ "name": "mass-assigned", "password": PASSWORD, "admin": true }),
        json!({ "name": "mass-assigned" }),
        json!({ "name": ["mass-assigned"], "password": PASSWORD }),
        json!([]),
        json!(null),
    ];
    for path in ["/api/accounts", "/api/sessions"] {
        for body in &bodies {
            client.post(path, body).await.expect_problem(422);
        }
        for text in ["", "{", "{\"name\":\"\u{0}\"}", "\u{feff}{}", "name=a&password=b"] {
            let request = client.request(Method::POST, path).body(text);
            Answer::to(request).await.expect_problem(422);
        }
        let no_text = client.request(Method::POST, path).body(vec![b'"', 0xff, b'"']);
        Answer::to(no_text).await.expect_problem(422);
    }
}

#[tokio::test]
async fn a_token_that_is_none_opens_nothing() {
    let site = Site::shared().await;
    let author = site.author().await;
    let upper = author.token.to_uppercase();
    let long = author.token.repeat(2);
    for token in ["", "x", &"0".repeat(64), &author.token[1..], &upper, &long] {
        let stranger = site.client().with_token(token);
        stranger.publish("A title", "A text").await.expect_problem(401);
    }
    let basic = site.client().request(Method::POST, "/api/articles");
    let basic = basic.header("authorization", format!("Basic {}", author.token));
    Answer::to(basic.json(&json!({ "title": "A", "body": "B" }))).await.expect_problem(401);
}
