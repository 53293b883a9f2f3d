use consign::sqlite::{Consign, Tx};
use consign::{Delivery, HandlerResult, Message, queue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

async fn feature(_: Published, _: Tx, _: Delivery, _: Tx) -> HandlerResult {
    Ok(())
}

async fn run(consign: Consign) -> consign::Result {
    consign.workers().subscribe(queue("featured", feature)).start().await?.shutdown().await
}

fn main() {
    let _ = run;
}
