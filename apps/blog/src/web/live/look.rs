//! A look at the database, for all open pages at once: at numbers and results, two statements at
//! most, or at the subscriptions.

use askama::Template;

use super::board::Round;
use super::watch::{Fragment, Watch};
use crate::problem::Problem;
use crate::state::App;
use crate::web::search::Results;
use crate::web::status::Table;
use crate::{search, subscriptions};

/// An author's number of articles, as it stands in a page.
#[derive(Template)]
#[template(path = "count.html")]
struct Count {
    articles: i64,
    live: bool,
}

/// What takes the place of "will know in a moment".
#[derive(Template)]
#[template(path = "known.html")]
struct Known;

/// What `round` asks for, as pages show it.
pub(super) async fn look(app: &App, round: &Round) -> Result<Vec<(Watch, Fragment)>, Problem> {
    let mut seen = Vec::new();
    if round.asks_for_numbers() {
        seen.extend(numbers(app, round).await?);
    }
    if round.asks_for_results() {
        seen.extend(results(app, &round.patterns).await?);
    }
    if round.subscriptions {
        let table = Table::of(subscriptions::all(app).await?, true);
        seen.push((Watch::Subscriptions, fragment(&table)?));
    }
    Ok(seen)
}

/// An author whom nobody counted yet has none; an article that search does not know is not answered.
async fn numbers(app: &App, round: &Round) -> Result<Vec<(Watch, Fragment)>, Problem> {
    let rows: Vec<(bool, i64, i64)> = sqlx::query_as(
        "select true, author.value, coalesce(articles, 0)
         from json_each(?1) as author left join author_counts on author_id = author.value
         union all
         select false, rowid, 1 from article_search
         where rowid in (select value from json_each(?2))",
    )
    .bind(json(&round.authors))
    .bind(json(&round.articles))
    .fetch_all(&app.db)
    .await?;
    rows.into_iter()
        .map(|(counted, id, articles)| {
            Ok(if counted {
                (Watch::Count(id), fragment(&Count { articles, live: true })?)
            } else {
                (Watch::Known(id), fragment(&Known)?)
            })
        })
        .collect()
}

async fn results(app: &App, patterns: &[String]) -> Result<Vec<(Watch, Fragment)>, Problem> {
    let found = search::find_each(app, patterns, Results::limit()).await?;
    let found = patterns.iter().zip(found);
    found
        .map(|(pattern, found)| {
            let results = Results::of(found, true);
            Ok((Watch::Results(pattern.clone()), fragment(&results)?))
        })
        .collect()
}

fn json(ids: &[i64]) -> String {
    serde_json::to_string(ids).expect("numbers are JSON")
}

/// A stream of events cannot hold carriage returns; in HTML they say nothing.
fn fragment(template: &impl Template) -> Result<Fragment, Problem> {
    let html = template.render().map_err(|error| Problem::internal(&error))?;
    Ok(html.replace('\r', "").into())
}
