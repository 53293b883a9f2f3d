use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published", key = autor_id)]
struct Published {
    article_id: i64,
    author_id: i64,
}

fn main() {}
