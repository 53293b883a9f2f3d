use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published", key = self.author_id)]
struct Published {
    author_id: i64,
}

fn main() {}
