use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "Article.Published")]
struct Published {
    article_id: i64,
}

fn main() {}
