//! The audit: counts everything anew and compares it with what the counter keeps.

use consign::sqlite::Consign;
use serde::Serialize;
use sqlx::{Sqlite, Transaction};

use crate::problem::Problem;
use crate::state::App;

/// Who is always listed, started or not.
const SUBSCRIPTIONS: [&str; 2] = ["counter", "search"];
/// What a subscription lags that nobody has started: it has not even a cursor.
const LAG_BEFORE_START: u64 = 1;

/// What was found, all of it at one moment.
#[derive(Debug, Serialize)]
pub(crate) struct Audit {
    authors: i64,
    articles: i64,
    differences: Vec<Difference>,
    subscriptions: Vec<Subscription>,
}

#[derive(Debug, Serialize)]
struct Difference {
    author: String,
    counted: i64,
    stored: i64,
}

#[derive(Debug, Serialize)]
struct Subscription {
    name: String,
    lag: u64,
}

/// Audits in one snapshot: where every lag is 0, the differences belong to that very state.
pub(crate) async fn audit(app: &App) -> Result<Audit, Problem> {
    let db = app.db.clone();
    // On a task of its own: a caller that hangs up must not leave an open transaction in the pool.
    let audit = tokio::spawn(async move {
        let mut snapshot = db.begin().await?;
        let audit = count(&mut snapshot).await?;
        snapshot.rollback().await?;
        Ok(audit)
    });
    audit.await.map_err(|error| Problem::internal(&error))?
}

async fn count(snapshot: &mut Transaction<'_, Sqlite>) -> Result<Audit, Problem> {
    let (authors, articles) =
        sqlx::query_as("select (select count(*) from authors), (select count(*) from articles)")
            .fetch_one(&mut **snapshot)
            .await?;
    let differences = differences(snapshot).await?;
    let subscriptions = subscriptions(snapshot).await?;
    Ok(Audit { authors, articles, differences, subscriptions })
}

/// A count without an author would show, too: under its id.
async fn differences(snapshot: &mut Transaction<'_, Sqlite>) -> Result<Vec<Difference>, Problem> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "with stored as (select author_id, count(*) as articles from articles group by author_id),
              ids as (select author_id from stored union select author_id from author_counts)
         select coalesce(name, '#' || ids.author_id) as author,
             coalesce(author_counts.articles, 0) as counted, coalesce(stored.articles, 0) as there
         from ids left join stored using (author_id) left join author_counts using (author_id)
             left join authors on authors.id = ids.author_id
         where counted <> there order by author",
    )
    .fetch_all(&mut **snapshot)
    .await?;
    let difference = |(author, counted, stored)| Difference { author, counted, stored };
    Ok(rows.into_iter().map(difference).collect())
}

async fn subscriptions(
    snapshot: &mut Transaction<'_, Sqlite>,
) -> Result<Vec<Subscription>, Problem> {
    let started = Consign::subscriptions_in(&mut *snapshot).await?;
    let mut subscriptions: Vec<Subscription> = started
        .into_iter()
        // What waits for another attempt is passed, and not done.
        .map(|status| Subscription { name: status.name, lag: status.lag + status.waiting })
        .collect();
    for name in SUBSCRIPTIONS {
        if subscriptions.iter().all(|subscription| subscription.name != name) {
            let name = name.to_owned();
            subscriptions.push(Subscription { name, lag: LAG_BEFORE_START });
        }
    }
    subscriptions.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(subscriptions)
}
