//! The mailer: each published article brings its author a receipt, as a file or by SMTP.
//!
//! A mail leaves the database, so it cannot be taken back: after a crash the last few may be sent
//! again. Each repeat has the same Message-ID, by which a mail program knows it; as a file it
//! replaces the first one.

mod folder;
mod receipt;
mod smtp;

use consign::{Delivery, HandlerResult, State, Verdict};
use sqlx::SqlitePool;

use self::folder::Folder;
use self::receipt::Receipt;
use self::smtp::Smtp;
use crate::BoxError;
use crate::config::Config;
use crate::messages::ArticlePublished;
use crate::moment::Moment;

/// What the mailer needs; cheap to clone.
#[derive(Clone)]
pub(crate) struct Mail {
    db: SqlitePool,
    /// What the address of each page begins with.
    site: String,
    route: Route,
}

/// Where mails go.
#[derive(Clone)]
enum Route {
    Folder(Folder),
    Smtp(Smtp),
}

/// Handles `article.published`: writes to the author what is published now.
pub(crate) async fn receipt_mail(
    published: ArticlePublished,
    State(mail): State<Mail>,
    delivery: Delivery,
) -> HandlerResult {
    let Some(receipt) = mail.receipt(&published, delivery.id.to_string()).await? else {
        return Err(Verdict::discard("the article was deleted before its receipt was written"));
    };
    mail.deliver(&receipt).await
}

/// Says what is wrong with the address of a mail server, if there is one, before anybody needs it.
pub(crate) fn check(config: &Config) -> Result<(), BoxError> {
    config.smtp().map(Smtp::open).transpose().map(drop)
}

impl Mail {
    /// Opens the way that mails take: to `config`'s mail server, else into its data directory.
    pub(crate) async fn open(config: &Config, db: SqlitePool) -> Result<Self, BoxError> {
        let route = match config.smtp() {
            Some(url) => Route::Smtp(Smtp::open(url)?),
            None => Route::Folder(Folder::open(&config.data).await?),
        };
        Ok(Self { db, site: config.site(), route })
    }

    /// `None` where the article is gone.
    async fn receipt(
        &self,
        published: &ArticlePublished,
        id: String,
    ) -> sqlx::Result<Option<Receipt>> {
        let row: Option<(String, String, i64)> = sqlx::query_as(
            "select name, title, published_at
             from articles join authors on authors.id = author_id where articles.id = ?1",
        )
        .bind(published.article_id)
        .fetch_optional(&self.db)
        .await?;
        Ok(row.map(|(author, title, published_at)| Receipt {
            id,
            author,
            title,
            link: format!("{}/articles/{}", self.site, published.article_id),
            published_at: Moment::from_milliseconds(published_at),
        }))
    }

    /// Once this is done the mail is on disk, or the mail server has said that it has it.
    async fn deliver(&self, receipt: &Receipt) -> HandlerResult {
        let mail = receipt.compose()?;
        match &self.route {
            // All mails go there: none is to blame.
            Route::Folder(folder) => {
                folder.store(&receipt.id, mail.formatted()).await.map_err(Verdict::outage)
            }
            Route::Smtp(smtp) => smtp.send(mail).await,
        }
    }
}
