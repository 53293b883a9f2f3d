//! Ready: the demo articles are stored, counted and searchable. Once that was so, it stays so, after restarts too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::moment::Moment;
use crate::problem::Problem;
use crate::state::App;

/// Whether it was seen to be so; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Ready(Arc<AtomicBool>);

/// Middleware: the front page answers once the blog is ready.
pub(crate) async fn wait(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.uri().path() == "/" && !is_ready(&app).await? {
        return Err(Problem::busy("the demo articles are not yet counted and searchable"));
    }
    Ok(next.run(request).await)
}

async fn is_ready(app: &App) -> Result<bool, Problem> {
    if app.ready.0.load(Ordering::Relaxed) {
        return Ok(true);
    }
    if !is_marked(app).await? {
        if !is_complete(app).await? {
            return Ok(false);
        }
        mark(app).await?;
    }
    app.ready.0.store(true, Ordering::Relaxed);
    Ok(true)
}

async fn is_marked(app: &App) -> Result<bool, Problem> {
    Ok(sqlx::query_scalar("select exists (select 1 from markers where name = 'ready')")
        .fetch_one(&app.db)
        .await?)
}

/// Demo authors are those without a password, so nobody else changes what is looked at here.
async fn is_complete(app: &App) -> Result<bool, Problem> {
    Ok(sqlx::query_scalar(
        "with demo as materialized (
             select articles.id, author_id
             from articles join authors on authors.id = author_id
             where password_hash is null)
         select exists (select 1 from demo)
             and not exists (
                 select 1 from demo
                 where not exists (select 1 from article_search where rowid = demo.id))
             and not exists (
                 select 1 from demo left join author_counts using (author_id)
                 group by demo.author_id having count(*) is not max(articles))",
    )
    .fetch_one(&app.db)
    .await?)
}

async fn mark(app: &App) -> Result<(), Problem> {
    let mut tx = app.consign.begin().await?;
    sqlx::query("insert or ignore into markers (name, at) values ('ready', ?1)")
        .bind(Moment::now().milliseconds())
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}
