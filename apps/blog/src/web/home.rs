//! `/`: the newest articles.

use askama::Template;
use axum::extract::State;

use super::entry::{Listing, Place};
use super::form::Asked;
use super::frame::Frame;
use super::page::Page;
use crate::article;
use crate::problem::Problem;
use crate::state::App;

#[derive(Template)]
#[template(path = "home.html")]
pub(super) struct Home {
    frame: Frame,
    listing: Listing,
}

pub(super) async fn show(
    State(app): State<App>,
    frame: Frame,
    Asked(place): Asked<Place>,
) -> Result<Page<Home>, Problem> {
    let articles = article::newest(&app, place.before(), Place::limit()).await?;
    Ok(Page(Home { frame, listing: place.listing(articles) }))
}
