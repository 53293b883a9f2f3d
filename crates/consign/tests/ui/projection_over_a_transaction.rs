use consign::sqlite::{Consign, Transaction};
use consign::{Batch, HandlerResult, Message, Projection, stream};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

struct Counts;

impl Projection<Transaction> for Counts {
    type Event = Published;
    async fn apply(&self, _: Batch<Published>, _: Transaction) -> HandlerResult {
        Ok(())
    }
    async fn reset(&self, _: Transaction) -> HandlerResult {
        Ok(())
    }
}

async fn run(consign: Consign) -> consign::Result<()> {
    consign.workers().subscribe(stream("counter", Counts)).start().await?.shutdown().await
}

fn main() {
    let _ = run;
}
