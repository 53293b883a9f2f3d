//! `/authors/{name}`: how many articles somebody has written, and which.

use askama::Template;
use axum::extract::State;

use super::entry::{Listing, Place};
use super::form::Asked;
use super::frame::Frame;
use super::page::Page;
use crate::article;
use crate::author::{self, Name};
use crate::config::WorkerName;
use crate::own_writes::Kept;
use crate::problem::Problem;
use crate::state::App;

#[derive(Template)]
#[template(path = "author.html")]
pub(super) struct AuthorPage {
    frame: Frame,
    id: i64,
    name: String,
    articles: i64,
    live: bool,
    /// What its author changed last is not counted yet.
    late: bool,
    own: bool,
    listing: Listing,
}

pub(super) async fn show(
    State(app): State<App>,
    frame: Frame,
    kept: Kept,
    Name(name): Name,
    Asked(place): Asked<Place>,
) -> Result<Page<AuthorPage>, Problem> {
    let own = frame.reader.as_ref().is_some_and(|reader| reader.name == name);
    let late = own && !kept.is_seen_by(&app, WorkerName::Counter).await;
    let author = author::find(&app, &name).await?;
    let articles = article::newest_of(&app, author.id, place.before(), Place::limit()).await?;
    Ok(Page(AuthorPage {
        id: author.id,
        name: author.name,
        articles: author.articles,
        live: false,
        late,
        own,
        listing: place.listing(articles),
        frame,
    }))
}
