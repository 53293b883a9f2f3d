//! The demo authors and articles that a new site has.

use consign::sqlite::{Consign, Transaction};
use sqlx::SqlitePool;

use crate::BoxError;
use crate::messages::ArticlePublished;
use crate::moment::Moment;

/// Oldest first. A title, its author, an empty line, and the text.
const ARTICLES: [&str; 15] = [
    include_str!("../demo/01-the-baker-does-not-wait.md"),
    include_str!("../demo/02-a-note-on-the-same-page.md"),
    include_str!("../demo/03-twice-is-worse-than-late.md"),
    include_str!("../demo/04-two-kinds-of-reader.md"),
    include_str!("../demo/05-counting-sheep-once.md"),
    include_str!("../demo/06-the-courage-to-answer-early.md"),
    include_str!("../demo/07-how-long-is-the-pile.md"),
    include_str!("../demo/08-when-a-colleague-falls-over.md"),
    include_str!("../demo/09-one-pen-for-everybody.md"),
    include_str!("../demo/10-catching-up-with-the-past.md"),
    include_str!("../demo/11-letters-carry-names.md"),
    include_str!("../demo/12-order-where-it-matters.md"),
    include_str!("../demo/13-the-one-bad-letter.md"),
    include_str!("../demo/14-a-queue-is-a-promise.md"),
    include_str!("../demo/15-small-batches-large-batches.md"),
];

/// Between one article and the next, as if somebody wrote each morning.
const EVERY: std::time::Duration = std::time::Duration::from_hours(23);

/// Stores and publishes them, unless that was done before; the marker of it is in the same transaction.
pub(crate) async fn plant(db: &SqlitePool, consign: &Consign) -> Result<(), BoxError> {
    let planted: bool =
        sqlx::query_scalar("select exists (select 1 from markers where name = 'seeded')")
            .fetch_one(db)
            .await?;
    if planted {
        return Ok(());
    }
    let mut tx = consign.begin().await?;
    let now = Moment::now();
    let marked = sqlx::query("insert or ignore into markers (name, at) values ('seeded', ?1)")
        .bind(now.milliseconds())
        .execute(&mut *tx)
        .await?;
    if marked.rows_affected() == 0 {
        // Another process was faster.
        tx.rollback().await?;
        return Ok(());
    }
    let mut published = Vec::with_capacity(ARTICLES.len());
    let mut at = now.before(EVERY * u32::try_from(ARTICLES.len())?);
    for text in ARTICLES {
        published.push(store(&mut tx, text, at).await?);
        at = at.after(EVERY);
    }
    tx.publish_all(&published).await?;
    tx.commit().await?;
    Ok(())
}

async fn store(tx: &mut Transaction, text: &str, at: Moment) -> Result<ArticlePublished, BoxError> {
    let (title, author, body) = parse(text).ok_or("a demo article lacks its title or author")?;
    let author_id: i64 = sqlx::query_scalar(
        "insert into authors (name, created_at) values (?1, ?2)
         on conflict (name) do update set name = excluded.name returning id",
    )
    .bind(author)
    .bind(at.milliseconds())
    .fetch_one(&mut **tx)
    .await?;
    let article_id: i64 = sqlx::query_scalar(
        "insert into articles (author_id, title, body, published_at, updated_at)
         values (?1, ?2, ?3, ?4, ?4) returning id",
    )
    .bind(author_id)
    .bind(title)
    .bind(body)
    .bind(at.milliseconds())
    .fetch_one(&mut **tx)
    .await?;
    Ok(ArticlePublished { article_id, author_id })
}

fn parse(text: &str) -> Option<(&str, &str, &str)> {
    let (title, rest) = text.strip_prefix("# ")?.split_once('\n')?;
    let (author, body) = rest.strip_prefix("by ")?.split_once("\n\n")?;
    Some((title, author, body.trim_end()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_demo_article_has_a_title_an_author_and_a_text() {
        for text in super::ARTICLES {
            let (title, author, body) = super::parse(text).expect(text);
            assert!(!title.is_empty() && author.contains('-') && body.len() > 400, "{title}");
        }
    }
}
