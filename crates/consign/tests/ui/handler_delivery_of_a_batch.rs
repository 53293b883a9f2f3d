use consign::sqlite::Consign;
use consign::{Delivery, HandlerResult, Message, queue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

async fn index(_: Vec<Published>, _: Delivery) -> HandlerResult {
    Ok(())
}

async fn run(consign: Consign) -> consign::Result {
    consign.workers().subscribe(queue("index", index)).start().await?.shutdown().await
}

fn main() {
    let _ = run;
}
