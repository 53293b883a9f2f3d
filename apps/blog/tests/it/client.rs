//! Somebody who asks: each client has a loopback address of its own, so that failures of one test are not counted for another.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

pub(crate) const PASSWORD: &str = "a sentence is a good password";

const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// A program that uses the blog's API.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    origin: String,
    token: Option<String>,
}

/// What was answered; a body that is no JSON is a string.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(server: SocketAddr) -> Self {
        static ADDRESSES: AtomicU8 = AtomicU8::new(0);
        let last = 2 + ADDRESSES.fetch_add(1, Ordering::Relaxed) % 250;
        let http = reqwest::Client::builder()
            .local_address(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWERED_WITHIN)
            .no_proxy()
            .build()
            .expect("a client");
        Self { http, origin: format!("http://{server}"), token: None }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request to which a test may add what it likes.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.origin));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Asks, unless nobody is there.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        Answer::of(self.request(Method::GET, path)).await.ok()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn sign_up(&self, name: &str, password: &str) -> Answer {
        self.post("/api/accounts", &json!({ "name": name, "password": password })).await
    }

    pub(crate) async fn sign_in(&self, name: &str, password: &str) -> Answer {
        self.post("/api/sessions", &json!({ "name": name, "password": password })).await
    }

    pub(crate) async fn publish(&self, title: &str, body: &str) -> Answer {
        self.post("/api/articles", &json!({ "title": title, "body": body })).await
    }

    /// Ids of what a search finds, in its order.
    pub(crate) async fn search(&self, words: &str) -> Vec<i64> {
        let request = self.request(Method::GET, "/api/search").query(&[("q", words)]);
        let answer = Answer::to(request).await;
        let found = answer.expect_status(200)["articles"].as_array().expect("a list");
        found.iter().map(|article| article["id"].as_i64().expect("an id")).collect()
    }
}

impl Answer {
    /// Sends the request.
    pub(crate) async fn of(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Self { status, headers, body })
    }

    /// Sends the request to somebody who is there.
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        Self::of(request).await.expect("the blog answers")
    }

    /// The body, once the status is as it should be.
    #[track_caller]
    pub(crate) fn expect_status(&self, status: u16) -> &Value {
        assert_eq!(self.status, status, "{}", self.body);
        &self.body
    }

    /// An error as RFC 9457 has it.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16) {
        let body = self.expect_status(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(body["status"], status);
        for field in ["type", "title", "detail"] {
            let text = body[field].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{field} in {body}");
        }
    }

    /// A header's text; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}
