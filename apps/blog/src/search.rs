//! Search: an index kept by a projection, and the question that readers ask it.

use std::collections::BTreeSet;

use consign::sqlite::Tx;
use consign::{Backfill, Batch, HandlerResult, Projection, Resume, Upkeep};
use serde::Serialize;
use sqlx::SqliteConnection;

use crate::excerpt::{LOOKED_AT_MAX, excerpt, folded, folded_words};
use crate::messages::ArticleChange;
use crate::problem::Problem;
use crate::state::App;

/// Articles of one transaction, at most: one that is very long must not come with many others.
pub(crate) const BATCH_MAX: usize = 64;
/// Articles of one piece of the backfill; the worker takes as many pieces as the clock lets it.
const PIECE: usize = 8;
/// Pages that one upkeep merges, for the same reason.
const MERGED_PAGES: i64 = 16;

const QUESTION_LENGTH_MAX: usize = 1_000;
const FOUND_MAX: u32 = 50;

/// Keeps the index. It reads each article as it is now, so the order of what changed does not matter.
pub(crate) struct Search;

impl Projection<Tx> for Search {
    type Event = ArticleChange;

    async fn apply(&self, batch: Batch<ArticleChange>, mut tx: Tx) -> HandlerResult {
        let changed: BTreeSet<i64> = batch.iter().map(|change| change.article_id()).collect();
        Ok(index(&mut tx, changed).await?)
    }

    async fn reset(&self, mut tx: Tx) -> HandlerResult {
        sqlx::query("delete from article_search").execute(&mut *tx).await?;
        Ok(())
    }

    async fn backfill(&self, from: Option<Resume>, mut tx: Tx) -> HandlerResult<Backfill> {
        let last = from.map_or(Ok(0), |resume| resume.parse::<i64>())?;
        let piece: Vec<i64> =
            sqlx::query_scalar("select id from articles where id > ?1 order by id limit ?2")
                .bind(last)
                .bind(i64::try_from(PIECE)?)
                .fetch_all(&mut *tx)
                .await?;
        let next = match piece.last() {
            Some(last) if piece.len() == PIECE => Backfill::More(Resume::at(last)),
            _ => Backfill::Done,
        };
        index(&mut tx, piece).await?;
        Ok(next)
    }

    /// Merges a little; SQLite counts fewer than two changes once nothing is left to merge.
    async fn upkeep(&self, mut tx: Tx) -> HandlerResult<Upkeep> {
        let before = total_changes(&mut tx).await?;
        sqlx::query("insert into article_search (article_search, rank) values ('merge', ?1)")
            .bind(MERGED_PAGES)
            .execute(&mut *tx)
            .await?;
        let merged = total_changes(&mut tx).await? - before;
        Ok(if merged < 2 { Upkeep::Done } else { Upkeep::More })
    }
}

/// Takes out what the index holds of some articles, then puts in what they are now: nothing, where one is gone.
///
/// Texts are folded first: FTS5 itself knows only Latin accents.
async fn index(
    tx: &mut SqliteConnection,
    articles: impl IntoIterator<Item = i64>,
) -> sqlx::Result<()> {
    // Each query is a hop to SQLite's thread and back while the write lock is held: so two, however
    // many articles there are.
    let articles = serde_json::Value::from_iter(articles).to_string();
    let texts: Vec<(i64, String, String)> = sqlx::query_as(
        "delete from article_search where rowid in (select value from json_each(?1));
         select id, title, body from articles where id in (select value from json_each(?1))",
    )
    .bind(&articles)
    .fetch_all(&mut *tx)
    .await?;
    let texts: Vec<(i64, String, String)> =
        texts.into_iter().map(|(id, title, body)| (id, folded(&title), folded(&body))).collect();
    sqlx::query(
        "insert into article_search (rowid, title, body)
         select value->>0, value->>1, value->>2 from json_each(?1)",
    )
    .bind(serde_json::to_string(&texts).expect("texts are JSON"))
    .execute(tx)
    .await?;
    Ok(())
}

async fn total_changes(tx: &mut SqliteConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("select total_changes()").fetch_one(tx).await
}

/// An article that has every word that was asked for.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) author: String,
    /// HTML: a piece of the text, escaped, each hit in a `<mark>`.
    pub(crate) snippet: String,
}

/// The live articles that have every word of `question`: the best first, then the newest.
pub(crate) async fn find(app: &App, question: &str, limit: u32) -> Result<Vec<Found>, Problem> {
    let Some(pattern) = checked_pattern(question)? else { return Ok(Vec::new()) };
    let found = find_each(app, &[pattern], limit).await?;
    Ok(found.into_iter().flatten().collect())
}

/// What the index is asked for `question`; `None` if it has no word.
pub(crate) fn checked_pattern(question: &str) -> Result<Option<String>, Problem> {
    if question.chars().count() > QUESTION_LENGTH_MAX {
        let sentence = format!("a search has at most {QUESTION_LENGTH_MAX} characters");
        return Err(Problem::invalid(sentence));
    }
    Ok(pattern(question))
}

/// What is found for each pattern, in one statement.
pub(crate) async fn find_each(
    app: &App,
    patterns: &[String],
    limit: u32,
) -> Result<Vec<Vec<Found>>, Problem> {
    let rows: Vec<String> = sqlx::query_scalar(
        "select (
             with best as materialized (
                 select articles.id, articles.title, author_id, article_search.rank as place
                 from article_search join articles on articles.id = article_search.rowid
                 where article_search match pattern.value
                 order by article_search.rank, articles.id desc limit ?2)
             select json_group_array(json_array(best.id, best.title, name,
                 (select substr(body, 1, ?3) from articles where articles.id = best.id))
                 order by place, best.id desc)
             from best join authors on authors.id = best.author_id)
         from json_each(?1) as pattern order by pattern.key",
    )
    .bind(serde_json::to_string(patterns).expect("strings are JSON"))
    .bind(limit.min(FOUND_MAX))
    .bind(LOOKED_AT_MAX)
    .fetch_all(&app.db)
    .await?;
    rows.iter().zip(patterns).map(|(row, pattern)| read_found(row, pattern)).collect()
}

fn read_found(row: &str, pattern: &str) -> Result<Vec<Found>, Problem> {
    let found: Vec<(i64, String, String, String)> =
        serde_json::from_str(row).map_err(|error| Problem::internal(&error))?;
    let wanted = folded_words(pattern);
    let found = found.into_iter().map(|(id, title, author, body)| Found {
        id,
        title,
        author,
        snippet: excerpt(&body, &wanted),
    });
    Ok(found.collect())
}

/// FTS5's way to say "all of these words": each one quoted, so that nothing in it is an operator.
fn pattern(question: &str) -> Option<String> {
    let question = folded(question);
    let words: BTreeSet<&str> = question
        .split(|character: char| !is_part_of_word(character))
        .filter(|word| !word.is_empty())
        .collect();
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" "))
}

/// False for what certainly stands between words; beyond that the index's tokenizer decides, and a piece of several words is a phrase.
fn is_part_of_word(character: char) -> bool {
    let between = character.is_ascii()
        || character.is_whitespace()
        || matches!(character, '\u{80}'..='\u{bf}' | '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}');
    character.is_alphanumeric() || !between
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_and_quotes_are_ordinary_characters() {
        let check = |question, expected: Option<&str>| {
            assert_eq!(pattern(question).as_deref(), expected, "{question:?}");
        };
        check("", None);
        check("\" * ^ ( ) - + :", None);
        check("NEAR(one two)", Some("\"near\" \"one\" \"two\""));
        check("title:one OR -two*", Some("\"one\" \"or\" \"title\" \"two\""));
        check("don\"t", Some("\"don\" \"t\""));
        check("one one\u{a0}one", Some("\"one\""));
        check("Übung\u{0}naïve—«x»", Some("\"naive\" \"ubung\" \"x\""));
    }
}
