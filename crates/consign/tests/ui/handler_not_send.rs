use consign::sqlite::Consign;
use consign::{HandlerResult, Message, queue};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

async fn mail(_: Published) -> HandlerResult {
    let kept = Rc::new(1);
    std::future::ready(()).await;
    drop(kept);
    Ok(())
}

async fn run(consign: Consign) -> consign::Result {
    consign.workers().subscribe(queue("mailer", mail)).start().await?.shutdown().await
}

fn main() {
    let _ = run;
}
