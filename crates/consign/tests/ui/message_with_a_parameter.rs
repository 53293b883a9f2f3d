use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.changed")]
struct Changed<T> {
    before: T,
    after: T,
}

fn main() {}
