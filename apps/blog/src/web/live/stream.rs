//! `/live`: the stream of one page, as server-sent events.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio_stream::wrappers::WatchStream;

use super::Watching;
use super::watch::Watch;
use crate::cookie::Peer;
use crate::problem::Problem;
use crate::search;
use crate::state::App;
use crate::stop::Stop;
use crate::web::form::Asked;

/// What a page watches; any of them, or several.
#[derive(Deserialize)]
pub(in crate::web) struct Watches {
    /// An author's id: how many articles there are.
    author: Option<i64>,
    /// An article's id: whether search knows it.
    article: Option<i64>,
    /// Words: what is found.
    q: Option<String>,
    /// Anything: how the subscriptions stand.
    status: Option<String>,
}

pub(in crate::web) async fn stream(
    State(app): State<App>,
    peer: Peer,
    Asked(watches): Asked<Watches>,
) -> Result<Response, Problem> {
    let watches = watches.list()?;
    if watches.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let watching = app.live.open(&app, peer.0, watches)?;
    let events = events(watching, app.stop);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// Ends when the server is asked to stop; the page then asks for a new one.
fn events(
    watching: Watching,
    stop: Stop,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + 'static {
    let Watching { subscriptions, gone, seat } = watching;
    let fragments = stream::select_all(subscriptions.into_iter().map(WatchStream::new));
    fragments
        .filter_map(async |fragment| fragment)
        .map(move |fragment| {
            // The stream holds them as long as it lives.
            let _ = (&gone, &seat);
            Ok(Event::default().data(fragment))
        })
        .take_until(async move { stop.asked().await })
}

impl Watches {
    fn list(self) -> Result<Vec<Watch>, Problem> {
        let pattern = match &self.q {
            Some(question) => search::checked_pattern(question)?,
            None => None,
        };
        let count = self.author.map(Watch::Count);
        let known = self.article.map(Watch::Known);
        let results = pattern.map(Watch::Results);
        let status = self.status.map(|_| Watch::Subscriptions);
        Ok(count.into_iter().chain(known).chain(results).chain(status).collect())
    }
}
