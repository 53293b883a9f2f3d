use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "article.published", topic = "articles")]
struct Published;

#[derive(Serialize, Deserialize, consign::Message)]
#[message(kind = "order.placed", topic = "orders")]
struct Placed;

#[derive(consign::Message)]
enum Event {
    Published(Published),
    Placed(Placed),
}

fn main() {}
