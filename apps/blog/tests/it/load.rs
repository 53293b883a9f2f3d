//! Authors who write, edit and delete while processes are killed, and what they know afterwards.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use consign_test::Random;
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::client::{Answer, Client};
use crate::site::Author;

/// Between two requests of one author.
const PACE: Duration = Duration::from_millis(10);
/// Somebody who is killed answers nothing; somebody else is asked soon.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one author was told, and what an author cannot know.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) name: String,
    /// Answered 201 and not deleted since: the word that it has now, if that is known.
    pub(crate) live: BTreeMap<i64, Option<String>>,
    /// Answered 204.
    pub(crate) deleted: BTreeSet<i64>,
    /// Deleted, or not: nobody answered.
    pub(crate) unknown: BTreeSet<i64>,
    /// Each was in one article's body, or nobody answered whether.
    pub(crate) words: Vec<String>,
    /// Requests that were answered as they should be, and those that were not answered.
    pub(crate) answered: u32,
    pub(crate) unanswered: u32,
}

/// Works until it is told to stop.
pub(crate) fn write(
    author: Author,
    mut random: Random,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<Told> {
    let stop = Arc::clone(stop);
    let mut told = Told { name: author.name.clone(), ..Told::default() };
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let known = told.live.keys().copied().collect::<Vec<_>>();
            let one = (!known.is_empty()).then(|| known[random.below(known.len().max(1))]);
            match (random.below(10), one) {
                (0..2, Some(id)) => told.delete(&author.client, id).await,
                (2..4, Some(id)) => told.edit(&author.client, id).await,
                _ => told.publish(&author.client).await,
            }
            tokio::time::sleep(PACE).await;
        }
        told
    })
}

impl Told {
    /// A word that nobody else uses.
    fn word(&mut self) -> String {
        let author = self.name.replace('-', "");
        let word = format!("{author}w{}", self.words.len());
        self.words.push(word.clone());
        word
    }

    async fn publish(&mut self, client: &Client) {
        let word = self.word();
        let request = client.request(Method::POST, "/api/articles");
        let manuscript = json!({ "title": "Under fire", "body": format!("says {word}") });
        let Some(answer) = self.ask(request.json(&manuscript)).await else { return };
        let id = answer.expect_status(201)["id"].as_i64().expect("an id");
        self.live.insert(id, Some(word));
    }

    async fn edit(&mut self, client: &Client, id: i64) {
        let word = self.word();
        let request = client.request(Method::PUT, &format!("/api/articles/{id}"));
        let manuscript = json!({ "title": "Under fire", "body": format!("says {word}") });
        let answer = self.ask(request.json(&manuscript)).await;
        let now = answer.map(|answer| {
            answer.expect_status(200);
            word
        });
        self.live.insert(id, now);
    }

    async fn delete(&mut self, client: &Client, id: i64) {
        let request = client.request(Method::DELETE, &format!("/api/articles/{id}"));
        let answer = self.ask(request).await;
        self.live.remove(&id);
        match answer {
            Some(answer) => {
                answer.expect_status(204);
                self.deleted.insert(id);
            }
            None => drop(self.unknown.insert(id)),
        }
    }

    /// `None`: somebody was killed, and it happened or it did not.
    async fn ask(&mut self, request: RequestBuilder) -> Option<Answer> {
        let answer = Answer::of(request.timeout(PATIENCE)).await.ok();
        self.answered += u32::from(answer.is_some());
        self.unanswered += u32::from(answer.is_none());
        answer
    }
}

/// Somebody who hangs up in the middle of requests, whole ones and cut ones, and knows nothing.
pub(crate) fn hang_up(
    author: Author,
    site: SocketAddr,
    mut random: Random,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<Told> {
    let stop = Arc::clone(stop);
    let mut told = Told { name: author.name.clone(), ..Told::default() };
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let word = told.word();
            let body = format!(r#"{{"title":"Hung up","body":"says {word}"}}"#);
            let request = format!(
                "POST /api/articles HTTP/1.1\r\nHost: {site}\r\nAuthorization: Bearer {}\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                author.token,
                body.len(),
            );
            let length = if random.coin() { request.len() } else { random.below(request.len()) };
            let wait = Duration::from_micros(u64::try_from(random.below(6_000)).expect("small"));
            if let Ok(mut connection) = TcpStream::connect(site).await {
                // Nobody may be there any more.
                let _ = connection.write_all(&request.as_bytes()[..length]).await;
                tokio::time::sleep(wait).await;
            }
            tokio::time::sleep(PACE).await;
        }
        told
    })
}

/// Articles as they are stored, and what follows from them for everybody who was told something.
pub(crate) struct Stored {
    /// By id: the author's name and the body.
    pub(crate) articles: HashMap<i64, (String, String)>,
}

impl Stored {
    /// Fails where an author was told something else.
    pub(crate) fn assert_as(&self, told: &Told) {
        for (id, word) in &told.live {
            let Some((author, body)) = self.articles.get(id) else {
                panic!("article {id} of {} was answered 201 and is missing", told.name);
            };
            assert_eq!(*author, told.name);
            let is_as_told = word.as_ref().is_none_or(|word| *body == format!("says {word}"));
            assert!(is_as_told, "article {id} says {body:?}, and was to say {word:?}");
        }
        for id in &told.deleted {
            assert!(!self.articles.contains_key(id), "article {id} was deleted and is there");
        }
    }

    pub(crate) fn count(&self, author: &str) -> usize {
        self.articles.values().filter(|(name, _)| name == author).count()
    }

    /// Where each word stands.
    pub(crate) fn words(&self) -> HashMap<&str, i64> {
        let words = self.articles.iter().map(|(id, (_, body))| (body, *id));
        words.filter_map(|(body, id)| Some((body.strip_prefix("says ")?, id))).collect()
    }
}
