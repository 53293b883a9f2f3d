use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published")]
struct Published;

#[derive(consign::Message)]
#[message(kind = "article")]
enum ArticleEvent {
    Published(Published),
}

fn main() {}
