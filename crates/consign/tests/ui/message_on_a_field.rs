use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published")]
struct Published {
    #[message(key)]
    author_id: i64,
}

fn main() {}
