//! How each subscription stands, and the one cause why one does not move.

use consign::SubscriptionStatus;
use serde::Serialize;

use crate::problem::Problem;
use crate::state::App;

/// A subscription that somebody has started.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Subscription {
    pub(crate) name: String,
    /// `queue` or `stream`.
    pub(crate) reads: String,
    /// Messages that it has not yet passed.
    pub(crate) lag: u64,
    /// How long ago the oldest of them was published.
    pub(crate) oldest_seconds: Option<f64>,
    /// Messages that wait for a retry, for their key, or for their time.
    pub(crate) waiting: u64,
    pub(crate) dead: u64,
    /// Ids of the processes that own a part of it.
    pub(crate) owners: Vec<u32>,
    pub(crate) state: &'static str,
    pub(crate) cause: Option<String>,
}

/// All of them, by name.
pub(crate) async fn all(app: &App) -> Result<Vec<Subscription>, Problem> {
    let mut all: Vec<Subscription> =
        app.consign.subscriptions().await?.into_iter().map(Subscription::from).collect();
    all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

impl From<SubscriptionStatus> for Subscription {
    fn from(status: SubscriptionStatus) -> Self {
        Self {
            name: status.name,
            reads: status.reads,
            lag: status.lag,
            oldest_seconds: status.oldest.map(|age| age.as_secs_f64()),
            waiting: status.waiting,
            dead: status.dead,
            owners: status.owners,
            state: status.state.as_str(),
            cause: status.cause,
        }
    }
}
