//! The JSON API.

mod accounts;
mod articles;
mod audit;
mod authors;
mod openapi;
mod search;
mod sessions;
mod subscriptions;

use axum::Router;
use axum::routing::{MethodRouter, get, post};

use crate::problem::Problem;
use crate::state::App;

/// Everything below `/api`.
pub(crate) fn routes() -> Router<App> {
    let router = table()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router
        .fallback(async || Problem::not_found("the API has no such route"))
        .method_not_allowed_fallback(async || Problem::wrong_method())
}

fn table() -> [(&'static str, MethodRouter<App>); 9] {
    [
        ("/accounts", post(accounts::create)),
        ("/sessions", post(sessions::create)),
        ("/articles", post(articles::create)),
        ("/articles/{id}", get(articles::show).put(articles::replace).delete(articles::delete)),
        ("/authors/{name}", get(authors::show)),
        ("/search", get(search::find)),
        ("/audit", get(audit::show)),
        ("/subscriptions", get(subscriptions::list)),
        ("/openapi.json", get(openapi::show)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn the_description_names_every_path_and_no_other() {
        let description: serde_json::Value =
            serde_json::from_str(super::openapi::DESCRIPTION).unwrap();
        let described: BTreeSet<String> =
            description["paths"].as_object().unwrap().keys().cloned().collect();
        let served = super::table().map(|(path, _)| format!("/api{path}"));
        assert_eq!(described, BTreeSet::from(served));
    }
}
