use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published")]
struct Published;

#[derive(consign::Message)]
enum Event {
    Published(Published),
    Edited(Published),
}

fn main() {}
