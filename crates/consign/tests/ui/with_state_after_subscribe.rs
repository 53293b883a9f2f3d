use consign::sqlite::Consign;
use consign::{HandlerResult, Message, queue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

struct App;

async fn mail(_: Published) -> HandlerResult {
    Ok(())
}

async fn run(consign: Consign) -> consign::Result {
    let workers = consign.workers().subscribe(queue("mailer", mail)).with_state(App);
    workers.start().await?.shutdown().await
}

fn main() {
    let _ = run;
}
