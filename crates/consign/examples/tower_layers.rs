//! Layers of tower around a handler: each call is said, and one that takes too long is tried again.

use consign::sqlite::Consign;
use consign::{Call, Delivery, HandlerResult, Message, Retry, queue};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use std::error::Error;
use std::time::Duration;
use tower::ServiceBuilder;

#[derive(Serialize, Deserialize, Message)]
#[message(kind = "mail.due", topic = "mails")]
struct MailDue {
    to: String,
}

/// The mail server does not answer the first time.
#[expect(clippy::print_stdout, reason = "the example shows what happens")]
async fn send(mail: MailDue, delivery: Delivery) -> HandlerResult {
    if delivery.attempt == 1 {
        tokio::time::sleep(Duration::from_hours(1)).await;
    }
    println!("sent to {}", mail.to);
    Ok(())
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the example shows what happens")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("mails.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let consign = Consign::open(&SqlitePool::connect_with(options).await?).await?;
    consign.publish(&MailDue { to: "ada@example.org".into() }).await?;

    let layers = ServiceBuilder::new()
        .map_request(|call: Call| {
            println!("{}: attempt {}", call.subscription(), call.deliveries()[0].attempt);
            call
        })
        .timeout(Duration::from_millis(200));
    let retry = Retry::exponential(Duration::from_millis(10), Duration::from_secs(1));
    let mailer = queue("mailer", send).from_start().retry(retry).layer(layers);
    let running = consign.workers().subscribe(mailer).start().await?;
    let mut changes = consign.changes();
    while consign.subscriptions().await?.iter().any(|it| it.lag + it.waiting > 0) {
        changes.next().await;
    }
    running.shutdown().await?;
    Ok(())
}
