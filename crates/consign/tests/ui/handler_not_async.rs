use consign::sqlite::Consign;
use consign::{HandlerResult, Message, queue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

fn mail(_: Published) -> HandlerResult {
    Ok(())
}

async fn run(consign: Consign) -> consign::Result {
    consign.workers().subscribe(queue("mailer", mail)).start().await?.shutdown().await
}

fn main() {
    let _ = run;
}
