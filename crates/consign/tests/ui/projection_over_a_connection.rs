use consign::{Batch, HandlerResult, Message, Projection};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "article.published")]
struct Published;

struct Counts;

impl Projection<SqliteConnection> for Counts {
    type Event = Published;
    async fn apply(&self, _: Batch<Published>, _: SqliteConnection) -> HandlerResult {
        Ok(())
    }
    async fn reset(&self, _: SqliteConnection) -> HandlerResult {
        Ok(())
    }
}

fn main() {}
