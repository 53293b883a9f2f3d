use consign::sqlite::Consign;
use consign::{HandlerResult, Message, State, queue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

struct App;
struct Mailer;

async fn mail(_: Published, _: State<Mailer>) -> HandlerResult {
    Ok(())
}

async fn run(consign: Consign) -> consign::Result {
    let workers = consign.workers().with_state(App);
    workers.subscribe(queue("mailer", mail)).start().await?.shutdown().await
}

fn main() {
    let _ = run;
}
