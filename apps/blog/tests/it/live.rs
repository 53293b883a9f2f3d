//! Pages that are open while something happens.

use std::time::Duration;

use reqwest::Method;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};

use crate::client::Client;
use crate::site::{Author, Place, Site};

const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// The stream of an open page.
pub(crate) struct Stream {
    response: reqwest::Response,
    received: String,
}

impl Stream {
    pub(crate) async fn open(client: &Client, query: &str) -> Self {
        let request = client.request(Method::GET, &format!("/live?{query}"));
        let response = request.timeout(Duration::from_mins(5)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, received: String::new() }
    }

    /// Reads until `text` came, and forgets what came up to there.
    pub(crate) async fn until(&mut self, text: &str) {
        let read = timeout(TOLD_WITHIN, async {
            while !self.received.contains(text) {
                let chunk = self.response.chunk().await.expect("a stream");
                let chunk = chunk.expect("the stream goes on");
                self.received.push_str(&String::from_utf8_lossy(&chunk));
            }
        });
        assert!(read.await.is_ok(), "no {text:?} in {:?}", self.received);
        let end = self.received.find(text).unwrap() + text.len();
        self.received.drain(..end);
    }

    /// Reads to the end.
    async fn ended(mut self) {
        while let Ok(Some(_)) = self.response.chunk().await {}
    }
}

/// The query of the stream that an author's page opens.
async fn query_of(client: &Client, author: &Author) -> String {
    let page = client.get(&format!("/authors/{}", author.name)).await;
    let page = page.body.as_str().unwrap();
    let query = page.split("/live?").nth(1).expect("the page has a stream");
    query.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_open_page_is_told_the_number_and_the_results_as_they_change() {
    let site = Site::shared().await;
    let (author, client) = (site.author().await, site.client());
    let mut number = Stream::open(&client, &query_of(&client, &author).await).await;
    let mut results = Stream::open(&client, "q=Xylo%20%22phone").await;
    // First what is so now: nothing is missed between the page and its stream.
    number.until("<b id=\"count-0\">0</b> articles").await;
    results.until("Nothing found").await;
    let id = author.publish("<Xylo>", "A phone.\rAnd a carriage return.").await;
    number.until("<b id=\"count-1\">1</b> article").await;
    results.until("&#60;Xylo&#62;").await;
    results.until("A <mark>phone</mark>.").await;
    author.client.delete(&format!("/api/articles/{id}")).await.expect_status(204);
    number.until("<b id=\"count-0\">0</b> articles").await;
    results.until("Nothing found").await;
}

#[tokio::test]
async fn who_comes_back_is_told_what_happened_meanwhile() {
    let site = Site::shared().await;
    let (author, client) = (site.author().await, site.client());
    let query = query_of(&client, &author).await;
    let mut stream = Stream::open(&client, &query).await;
    stream.until("count-0").await;
    drop(stream);
    author.publish("While you were away", "this was written").await;
    site.settled().await;
    Stream::open(&client, &query).await.until("count-1").await;
}

#[tokio::test]
async fn a_page_with_nothing_to_watch_gets_no_stream() {
    let site = Site::shared().await;
    for query in ["", "?q=", "?q=%22*%22"] {
        site.client().get(&format!("/live{query}")).await.expect_status(204);
    }
    site.client().get("/live?author=x").await.expect_status(422);
}

#[tokio::test]
async fn a_stop_ends_the_streams() {
    let mut site = Site::start().await;
    let client = site.client();
    let mut stream = Stream::open(&client, "q=baker").await;
    stream.until("baker").await;
    site.process.signal("TERM");
    timeout(Duration::from_secs(5), stream.ended()).await.expect("the stream ends");
    assert!(site.process.ended(Duration::from_secs(10)).await.success());
}

const PAGES: u32 = 200;
const COMMITS_A_SECOND: u32 = 200;
const SECONDS: u32 = 5;

/// 200 open pages beside 200 commits a second, and what the database is asked for them.
#[tokio::test]
async fn open_pages_cost_ten_looks_a_second_however_many_they_are() {
    let place = Place::new();
    let process = place.run_with_log("warn,sqlx::query=debug");
    place.ready().await;
    let authors = [place.author().await, place.author().await, place.author().await];
    let mut pages = JoinSet::new();
    for page in 0..PAGES {
        pages.spawn(watch(place.client(), query_of_page(&place, &authors, page).await));
    }
    publish(&authors).await;
    let still_open = pages.join_all().await;
    assert_eq!(still_open.len(), PAGES as usize, "every page was told");

    let looks = looks(&process.printed());
    assert!(looks.len() > 10, "the pages were looked for: {looks:?}");
    for (first, from) in looks.iter().enumerate() {
        let within = looks[first..].iter().take_while(|at| **at < *from + 1.0).count();
        assert!(within <= 10, "{within} looks in the second from {from}: {looks:?}");
    }
}

/// Half of the pages are authors', a quarter shows one search, a quarter shows many.
async fn query_of_page(place: &Place, authors: &[Author; 3], page: u32) -> String {
    match page % 4 {
        0 => format!("q=article%20number%20{page}"),
        1 => "q=article".to_owned(),
        _ => query_of(&place.client(), &authors[page as usize % 3]).await,
    }
}

/// Stays until it was told what is so, and of an author's second article.
async fn watch(client: Client, query: String) -> Stream {
    let mut stream = Stream::open(&client, &query).await;
    stream.until("<").await;
    if query.starts_with("author") {
        stream.until("articles").await;
        stream.until("articles").await;
    }
    stream
}

/// Publishes at a steady rate, however long an answer takes.
async fn publish(authors: &[Author; 3]) {
    let mut commits = tokio::time::interval(Duration::from_secs(1) / COMMITS_A_SECOND);
    commits.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut published = JoinSet::new();
    for number in 0..COMMITS_A_SECOND * SECONDS {
        commits.tick().await;
        let client = authors[number as usize % authors.len()].client.clone();
        published.spawn(async move {
            client.publish("An article", &format!("number {number}")).await.expect_status(201);
        });
    }
    published.join_all().await;
}

/// When the statements of open pages were run, in seconds of the day.
fn looks(log: &str) -> Vec<f64> {
    let statements = log.lines().filter(|line| {
        line.contains("json_each(?1) as author") || line.contains("json_each(?1) as pattern")
    });
    statements.map(|line| seconds(line.split_whitespace().next().unwrap())).collect()
}

/// `2026-11-24T08:32:44.214130Z`, without its day.
fn seconds(timestamp: &str) -> f64 {
    let time = timestamp.split('T').nth(1).unwrap().trim_end_matches('Z');
    time.split(':').fold(0.0, |seconds, part| seconds * 60.0 + part.parse::<f64>().unwrap())
}
