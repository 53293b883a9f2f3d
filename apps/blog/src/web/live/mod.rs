//! Numbers and results that change by themselves on open pages.
//!
//! However many pages are open and whatever is committed, the database is looked at ten times a
//! second at most: one task per process looks for all pages together, and only while somebody
//! watches. A page has one stream, which begins with what is so now; so nothing is missed between
//! the page and its stream, or while a stream was broken.

mod board;
mod look;
mod pace;
mod seats;
mod stream;
mod watch;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior};

use self::board::{Board, Subscription};
use self::pace::Pace;
use self::seats::{Seat, Seats};
use self::watch::Watch;
use crate::problem::Problem;
use crate::state::App;

pub(super) use stream::stream;

const AFTER_A_FAILED_LOOK: Duration = Duration::from_secs(1);
/// How the subscriptions stand changes without a commit, too: ages grow, and a process dies.
const SUBSCRIPTIONS_EVERY: Duration = Duration::from_millis(500);

/// What open pages of this process watch; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Live(Arc<Shared>);

#[derive(Default)]
struct Shared {
    board: Mutex<Board>,
    seats: Seats,
    /// Somebody came or went.
    touched: Notify,
}

/// An open page's part: what it watches, its seat, and the news that it went.
struct Watching {
    subscriptions: Vec<Subscription>,
    gone: Gone,
    seat: Seat,
}

/// Tells the task that a page went, so that nobody looks for it any more.
struct Gone(Live);

impl Live {
    fn open(&self, app: &App, address: IpAddr, watches: Vec<Watch>) -> Result<Watching, Problem> {
        let seat = self.0.seats.take(address)?;
        let (subscriptions, first) = {
            let mut board = self.board();
            let subscriptions = watches.into_iter().map(|watch| board.open(watch)).collect();
            (subscriptions, board.begin())
        };
        if first {
            tokio::spawn(self.clone().look_while_watched(app.clone()));
        }
        self.0.touched.notify_one();
        Ok(Watching { subscriptions, gone: Gone(self.clone()), seat })
    }

    async fn look_while_watched(self, app: App) {
        let mut changes = app.consign.changes();
        let mut pace = Pace::new(Instant::now());
        let mut clock = tokio::time::interval(SUBSCRIPTIONS_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.board().end_if_unwatched() {
            tokio::select! {
                () = app.stop.asked() => return,
                () = changes.next() => self.board().all_stale(),
                () = self.0.touched.notified() => {}
                () = self.time_for_subscriptions(&mut clock) => {}
            }
            while self.board().is_stale() {
                tokio::time::sleep(pace.wait(Instant::now())).await;
                // What was committed meanwhile is seen by this look and needs none of its own.
                if changes.next().now_or_never().is_some() {
                    self.board().all_stale();
                }
                let _ = self.time_for_subscriptions(&mut clock).now_or_never();
                self.look(&app, &mut pace).await;
            }
        }
    }

    /// Resolves once it is time to look at the subscriptions; never, where nobody watches them.
    async fn time_for_subscriptions(&self, clock: &mut Interval) {
        if !self.board().watches_subscriptions() {
            std::future::pending::<()>().await;
        }
        clock.tick().await;
        self.board().subscriptions_stale();
    }

    async fn look(&self, app: &App, pace: &mut Pace) {
        let (round, begun) = (self.board().next_round(), Instant::now());
        pace.spend(round.statements(), begun);
        match look::look(app, &round).await {
            Ok(seen) => self.board().show(seen),
            Err(problem) => {
                tracing::warn!(detail = problem.detail(), "cannot look for open pages");
                self.board().all_stale();
                tokio::time::sleep(AFTER_A_FAILED_LOOK).await;
            }
        }
        // A search that takes long must not take a core: the task rests as long as it worked.
        tokio::time::sleep(begun.elapsed()).await;
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.0.touched.notify_one();
    }
}
