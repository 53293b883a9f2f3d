//! `/search?q=`: the articles that have every word.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::form::Asked;
use super::frame::Frame;
use super::html::Html;
use super::page::Page;
use crate::problem::Problem;
use crate::search::{self, Found};
use crate::state::App;

/// Results on the page.
const SHOWN: u32 = 20;

#[derive(Deserialize)]
pub(super) struct Question {
    #[serde(default)]
    q: String,
}

#[derive(Template)]
#[template(path = "search.html")]
pub(super) struct SearchPage {
    frame: Frame,
    results: Results,
}

/// What was found; also sent by itself to pages that watch it.
#[derive(Template)]
#[template(path = "results.html")]
pub(super) struct Results {
    found: Vec<Found>,
    /// Whether there is more than is shown.
    more: bool,
    live: bool,
}

pub(super) async fn show(
    State(app): State<App>,
    mut frame: Frame,
    Asked(question): Asked<Question>,
) -> Result<Page<SearchPage>, Problem> {
    let question = question.q.trim();
    let found = search::find(&app, question, Results::limit()).await?;
    frame.question = question.to_owned();
    Ok(Page(SearchPage { frame, results: Results::of(found, false) }))
}

impl Results {
    /// One more than is shown says whether there is more.
    pub(super) fn limit() -> u32 {
        SHOWN + 1
    }

    pub(super) fn of(mut found: Vec<Found>, live: bool) -> Self {
        let more = found.len() > SHOWN as usize;
        found.truncate(SHOWN as usize);
        Self { found, more, live }
    }
}
