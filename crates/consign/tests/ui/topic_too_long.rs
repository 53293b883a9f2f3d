use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(
    kind = "article.published",
    topic = "articles-of-a-name-that-goes-on-and-on-until-it-is-longer-than-it-may-be"
)]
struct Published {
    article_id: i64,
}

fn main() {}
