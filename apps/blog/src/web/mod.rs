//! The site as people see it: HTML that works without JavaScript, and numbers that change by themselves with it.

mod account;
mod article;
mod assets;
mod author;
mod delete;
mod entry;
mod form;
mod frame;
mod home;
mod html;
mod live;
mod notice;
mod page;
mod problems;
mod search;
mod status;
mod write;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};

use crate::problem::Problem;
use crate::state::App;

pub(crate) use live::Live;
pub(crate) use problems::as_pages;

/// All that is not the API.
pub(crate) fn routes() -> Router<App> {
    pages()
        .layer(from_fn(notice::said_once))
        .route("/live", get(live::stream))
        .route("/assets/{version}/{name}", get(assets::asset))
        .route("/favicon.ico", get(assets::favicon))
        .fallback(async || Problem::not_found("there is no such page"))
        .method_not_allowed_fallback(async || Problem::wrong_method())
}

fn pages() -> Router<App> {
    Router::new()
        .route("/", get(home::show))
        .route("/articles/{id}", get(article::show))
        .route("/articles/{id}/edit", get(write::edit_form).post(write::edit))
        .route("/articles/{id}/delete", get(delete::confirm).post(delete::delete))
        .route("/authors/{name}", get(author::show))
        .route("/search", get(search::show))
        .route("/sign-in", get(account::sign_in_form).post(account::sign_in))
        .route("/sign-out", post(account::sign_out))
        .route("/sign-up", get(account::sign_up_form).post(account::sign_up))
        .route("/status", get(status::show))
        .route("/write", get(write::publish_form).post(write::publish))
}
