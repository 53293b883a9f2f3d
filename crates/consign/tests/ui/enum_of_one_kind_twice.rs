use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published", topic = "articles")]
struct Published;

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published", topic = "articles")]
struct PublishedAgain;

#[derive(consign::Message)]
enum Event {
    Published(Published),
    PublishedAgain(PublishedAgain),
}

fn main() {}
