use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published", version = 0)]
struct Published {
    article_id: i64,
}

fn main() {}
