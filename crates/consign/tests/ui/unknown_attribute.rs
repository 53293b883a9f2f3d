use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published", partition = 3)]
struct Published {
    article_id: i64,
}

fn main() {}
