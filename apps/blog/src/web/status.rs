//! `/status`: how the subscriptions stand.

use std::time::Duration;

use askama::Template;
use axum::extract::State;

use super::frame::Frame;
use super::page::Page;
use crate::problem::Problem;
use crate::state::App;
use crate::subscriptions::{self, Subscription};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

#[derive(Template)]
#[template(path = "status.html")]
pub(super) struct StatusPage {
    frame: Frame,
    table: Table,
}

/// All of them; also sent by itself to pages that watch it.
#[derive(Template)]
#[template(path = "subscriptions.html")]
pub(super) struct Table {
    subscriptions: Vec<Subscription>,
    /// Messages that they have not passed, or that wait.
    behind: u64,
    settled: bool,
    live: bool,
}

pub(super) async fn show(
    State(app): State<App>,
    frame: Frame,
) -> Result<Page<StatusPage>, Problem> {
    let table = Table::of(subscriptions::all(&app).await?, false);
    Ok(Page(StatusPage { frame, table }))
}

impl Table {
    pub(super) fn of(subscriptions: Vec<Subscription>, live: bool) -> Self {
        let behind = subscriptions.iter().map(|one| one.lag + one.waiting).sum();
        Self { subscriptions, behind, settled: behind == 0, live }
    }
}

impl Subscription {
    /// The cause, but where there is nothing to do: that needs no reason.
    fn cause_to_show(&self) -> Option<&str> {
        let has_nothing_to_do = self.state == "idle" && self.waiting == 0;
        self.cause.as_deref().filter(|_| !has_nothing_to_do)
    }

    fn state_in_words(&self) -> String {
        self.state.replace('_', " ")
    }

    /// As people say it: no more exact than they care.
    fn oldest_in_words(&self) -> String {
        let seconds = self.oldest_seconds.and_then(|age| Duration::try_from_secs_f64(age).ok());
        match seconds.map(|age| age.as_secs()) {
            None => "–".to_owned(),
            Some(seconds @ ..MINUTE) => format!("{seconds} s"),
            Some(seconds @ MINUTE..HOUR) => format!("{} min", seconds / MINUTE),
            Some(seconds @ HOUR..DAY) => format!("{} h", seconds / HOUR),
            Some(seconds @ DAY..) => format!("{} d", seconds / DAY),
        }
    }
}
