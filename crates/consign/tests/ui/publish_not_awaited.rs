#![deny(unused_must_use)]

use consign::Message;
use consign::sqlite::Transaction;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

async fn publish(mut tx: Transaction) -> consign::Result<()> {
    tx.publish(&Published);
    tx.commit().await?;
    Ok(())
}

fn main() {
    let _ = publish;
}
