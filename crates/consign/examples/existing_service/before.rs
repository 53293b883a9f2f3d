//! An axum and sqlx service, with a thousand likes in its database already. In `before.rs` readers
//! wait until their like is counted; in `after.rs` a worker counts.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use std::error::Error;
use tokio::net::TcpListener;

#[derive(Clone)]
struct App {
    db: SqlitePool,
}

#[derive(Deserialize)]
struct Like {
    article_id: i64,
    reader_id: i64,
}

async fn like(State(app): State<App>, Json(like): Json<Like>) -> Result<StatusCode, StatusCode> {
    let mut tx = app.db.begin_with("begin immediate").await.map_err(failed)?;
    sqlx::query("insert into likes (article_id, reader_id) values ($1, $2)")
        .bind(like.article_id)
        .bind(like.reader_id)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    sqlx::query(
        "insert into like_counts (article_id, likes) values ($1, 1)
         on conflict (article_id) do update set likes = likes + 1",
    )
    .bind(like.article_id)
    .execute(&mut *tx)
    .await
    .map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    Ok(StatusCode::CREATED)
}

async fn likes(State(app): State<App>, Path(article): Path<i64>) -> Result<String, StatusCode> {
    let count = sqlx::query_scalar("select likes from like_counts where article_id = $1")
        .bind(article)
        .fetch_optional(&app.db)
        .await
        .map_err(failed)?;
    Ok(count.unwrap_or(0_i64).to_string())
}

fn failed(error: impl Error) -> StatusCode {
    eprintln!("{error}");
    StatusCode::INTERNAL_SERVER_ERROR
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program says where it listens")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    let file = arguments.next().unwrap_or_else(|| "likes.db".into());
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let db = SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(include_str!("tables.sql")).execute(&db).await?;
    let app = Router::new()
        .route("/likes", post(like))
        .route("/likes/{article_id}", get(likes))
        .with_state(App { db });
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(stopped()).await?;
    Ok(())
}

async fn stopped() {
    drop(tokio::signal::ctrl_c().await);
}
