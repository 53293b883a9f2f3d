use consign::sqlite::{Consign, Tx};
use consign::{Batch, HandlerResult, Message, Projection, queue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

struct Last;

impl Projection<Tx> for Last {
    type Event = Published;
    async fn apply(&self, _: Batch<Published>, _: Tx) -> HandlerResult {
        Ok(())
    }
    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

async fn run(consign: Consign) -> consign::Result {
    consign.workers().subscribe(queue("last", Last)).start().await?.shutdown().await
}

fn main() {
    let _ = run;
}
