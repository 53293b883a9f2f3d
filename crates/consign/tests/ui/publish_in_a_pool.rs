use consign::Message;
use consign::sqlite::Consign;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

async fn publish(consign: Consign, mut db: sqlx::SqlitePool) -> consign::Result<()> {
    consign.publish_in(&mut db, &Published).await?;
    Ok(())
}

fn main() {
    let _ = publish;
}
