//! The site as a browser without JavaScript meets it.

use reqwest::Method;
use reqwest::header::{ACCEPT, COOKIE};

use crate::client::{Answer, Client, PASSWORD};
use crate::site::Site;

/// Sends a form as a browser does that is signed in by `cookie`.
async fn send(client: &Client, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let request = client.request(Method::POST, path).header("sec-fetch-site", "same-origin");
    Answer::to(request.header(COOKIE, cookie).form(fields)).await
}

async fn look(client: &Client, cookie: &str, path: &str) -> Answer {
    Answer::to(client.request(Method::GET, path).header(COOKIE, cookie)).await
}

/// The cookies that an answer sets, as a browser would send them back.
fn cookies(answer: &Answer) -> String {
    let set = answer.headers.get_all("set-cookie").iter();
    let pairs = set.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    pairs.collect::<Vec<_>>().join("; ")
}

fn text(answer: &Answer) -> &str {
    answer.body.as_str().expect("a page is no JSON")
}

/// Signs up with the form, and answers the cookie.
async fn sign_up(client: &Client, name: &str) -> String {
    let fields = [("name", name), ("password", PASSWORD)];
    let answer = send(client, "", "/sign-up", &fields).await;
    answer.expect_status(303);
    assert_eq!(answer.header("location"), format!("/authors/{name}"));
    cookies(&answer)
}

#[tokio::test]
async fn the_front_page_answers_whatever_is_accepted() {
    let site = Site::shared().await;
    for accept in ["*/*", "text/html", "application/json", "image/png", "nonsense"] {
        let request = site.client().request(Method::GET, "/").header(ACCEPT, accept);
        let answer = Answer::to(request).await;
        answer.expect_status(200);
        assert!(answer.header("content-type").starts_with("text/html"), "{accept}");
    }
}

#[tokio::test]
async fn an_article_is_written_edited_and_deleted_with_plain_forms() {
    let site = Site::shared().await;
    let client = site.client();
    let cookie = sign_up(&client, "plain-forms").await;

    let fields = [("title", "A <title>"), ("body", "One *word*:\r\nzyzzyva.")];
    let sent = send(&client, &cookie, "/write", &fields).await;
    sent.expect_status(303);
    let path = sent.header("location").to_owned();
    let both = format!("{cookie}; {}", cookies(&sent));
    let page = look(&client, &both, &path).await;
    assert!(text(&page).contains("Published in "), "the time of the transaction is said");
    assert!(text(&page).contains("<h1>A &#60;title&#62;</h1>"));
    assert!(text(&page).contains("One <em>word</em>:\nzyzzyva."));
    assert!(page.header("set-cookie").starts_with("notice=; "), "and is said once");
    assert_eq!(page.header("cache-control"), "no-store");

    let form = look(&client, &cookie, &format!("{path}/edit")).await;
    assert!(text(&form).contains("One *word*:\nzyzzyva.</textarea>"), "as it was typed");
    let edit = format!("{path}/edit");
    let fields = [("title", "Another"), ("body", "zyzzyva again")];
    send(&client, &cookie, &edit, &fields).await.expect_status(303);
    let page = look(&client, &cookie, &path).await;
    assert!(text(&page).contains("<h1>Another</h1>") && text(&page).contains(" · edited "));
    site.settled().await;
    let page = client.get("/search?q=ZYZZYVA").await;
    assert!(text(&page).contains("<mark>zyzzyva</mark> again"));
    let page = client.get("/authors/plain-forms").await;
    assert!(text(&page).contains("<b id=\"count-1\">1</b> article<"));

    let delete = format!("{path}/delete");
    let asked = look(&client, &cookie, &delete).await;
    asked.expect_status(200);
    assert!(text(&asked).contains("Delete “Another”?"), "asked before anything is deleted");
    client.get(&path).await.expect_status(200);
    send(&client, &cookie, &delete, &[]).await.expect_status(303);
    client.get(&path).await.expect_status(404);
    site.settled().await;
    let page = client.get("/authors/plain-forms").await;
    assert!(text(&page).contains("<b id=\"count-0\">0</b> articles"));
}

#[tokio::test]
async fn a_preview_shows_the_text_and_stores_nothing() {
    let site = Site::shared().await;
    let client = site.client();
    let cookie = sign_up(&client, "looks-first").await;
    let fields = [("title", "Not yet"), ("body", "A **draft**."), ("then", "preview")];
    let answer = send(&client, &cookie, "/write", &fields).await;
    answer.expect_status(200);
    assert!(text(&answer).contains("A <strong>draft</strong>."));
    assert!(text(&answer).contains("A **draft**.</textarea>") && text(&answer).contains("Not yet"));
    let page = client.get("/authors/looks-first").await;
    assert!(text(&page).contains("count-0") && !text(&page).contains("Not yet"));
}

#[tokio::test]
async fn after_an_error_the_form_keeps_what_was_typed() {
    let site = Site::shared().await;
    let client = site.client();
    let cookie = sign_up(&client, "keeps-typed").await;
    let long = "y".repeat(65_537);
    for (status, title, body) in
        [(422, " ", "typed & kept"), (413, "kept", &*long), (422, "kept", "\r\n ")]
    {
        let answer = send(&client, &cookie, "/write", &[("title", title), ("body", body)]).await;
        answer.expect_status(status);
        assert!(text(&answer).contains(&body.replace("\r\n", "\n").replace('&', "&#38;")));
        assert!(text(&answer).contains("role=\"alert\""));
    }
    // Signed out while writing: nothing is lost.
    let answer = send(&client, "", "/write", &[("title", "t"), ("body", "typed for hours")]).await;
    answer.expect_status(401);
    assert!(text(&answer).contains("typed for hours"));

    let wrong = [("name", "keeps-typed"), ("password", "not this one"), ("next", "/write")];
    let answer = send(&client, "", "/sign-in", &wrong).await;
    answer.expect_status(401);
    assert!(
        text(&answer).contains("value=\"keeps-typed\"")
            && text(&answer).contains("value=\"/write\"")
    );
    assert!(!text(&answer).contains("not this one"), "but never a password");
    let taken = [("name", "keeps-typed"), ("password", PASSWORD)];
    let answer = send(&client, "", "/sign-up", &taken).await;
    answer.expect_status(409);
    assert!(text(&answer).contains("value=\"keeps-typed\""));
}

#[tokio::test]
async fn who_has_to_sign_in_comes_back_to_where_they_were() {
    let site = Site::shared().await;
    let client = site.client();
    let answer = client.get("/write").await;
    answer.expect_status(303);
    assert_eq!(answer.header("location"), "/sign-in?next=/write");
    sign_up(&client, "comes-back").await;
    for (next, location) in [("/write", "/write"), ("//evil.example", "/"), ("", "/")] {
        let fields = [("name", "comes-back"), ("password", PASSWORD), ("next", next)];
        let answer = send(&client, "", "/sign-in", &fields).await;
        answer.expect_status(303);
        assert_eq!(answer.header("location"), location);
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server() {
    let site = Site::shared().await;
    let client = site.client();
    let cookie = sign_up(&client, "signs-out").await;
    look(&client, &cookie, "/write").await.expect_status(200);
    let answer = send(&client, &cookie, "/sign-out", &[]).await;
    answer.expect_status(303);
    assert!(answer.header("set-cookie").starts_with("session=; "));
    look(&client, &cookie, "/write").await.expect_status(303);
    client.get("/sign-out").await.expect_status(405);
}

#[tokio::test]
async fn nobody_changes_the_article_of_another() {
    let site = Site::shared().await;
    let owner = site.author().await;
    let id = owner.publish("Mine", "and nobody else's").await;
    let (client, path) = (site.client(), format!("/articles/{id}"));
    let cookie = sign_up(&client, "somebody-else").await;
    let fields = [("title", "Now mine"), ("body", "typed by somebody else")];
    for page in ["edit", "delete"] {
        let page = format!("{path}/{page}");
        look(&client, &cookie, &page).await.expect_status(403);
        send(&client, &cookie, &page, &fields).await.expect_status(403);
        let nobody = look(&client, "", &page).await;
        assert_eq!(nobody.header("location"), format!("/sign-in?next={page}"));
        send(&client, "", &page, &fields).await.expect_status(401);
    }
    assert!(
        text(&client.get(&path).await).contains("and nobody else&#39;s")
            || text(&client.get(&path).await).contains("and nobody else's")
    );
    assert!(!text(&look(&client, &cookie, &path).await).contains("/edit"), "no way to it, either");
}

#[tokio::test]
async fn what_is_not_there_is_said_on_a_page() {
    let site = Site::shared().await;
    for path in
        ["/nope", "/articles/999999999", "/articles/x", "/authors/nobody-at-all", "/authors/%FF"]
    {
        let answer = site.client().get(path).await;
        answer.expect_status(404);
        assert!(text(&answer).contains("<h1>Nothing here</h1>"), "{path}");
    }
    site.client().get("/api/nope").await.expect_problem(404);
    let request = site.client().request(Method::PUT, "/write");
    assert!(text(&Answer::to(request).await).contains("<!doctype html>"));
}

#[tokio::test]
async fn lists_have_pages() {
    let site = Site::shared().await;
    let author = site.author().await;
    for number in 0..23 {
        author.publish(&format!("Number {number}"), "of many").await;
    }
    let client = site.client();
    let path = format!("/authors/{}", author.name);
    let first = client.get(&path).await;
    assert!(text(&first).contains("Number 22<") && !text(&first).contains("Number 2<"));
    let next = text(&first).split("href=\"?before=").nth(1).expect("a second page");
    let next = next.split('"').next().unwrap();
    let second = client.get(&format!("{path}?before={next}")).await;
    assert!(text(&second).contains("Number 2<") && !text(&second).contains("Number 3<"));
    assert!(text(&second).contains("Number 0<") && !text(&second).contains("?before="));
}

#[tokio::test]
async fn files_of_the_page_are_cached_for_good_under_the_name_of_their_content() {
    let site = Site::shared().await;
    let client = site.client();
    let page = client.get("/search?q=a").await;
    let urls: Vec<_> = text(&page).split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert_eq!(urls.len(), 3, "style sheet, script and icon: {urls:?}");
    for url in urls {
        let answer = client.get(url).await;
        answer.expect_status(200);
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    }
    let older = client.get("/assets/0000000000000000/blog.css").await;
    older.expect_status(200);
    assert_eq!(older.header("cache-control"), "no-cache");
    for path in ["/assets/0000000000000000/nope.css", "/assets/0/%FF"] {
        client.get(path).await.expect_status(404);
    }
}
