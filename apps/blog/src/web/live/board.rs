//! Who watches what, and what has to be looked at next.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio::sync::watch;

use super::watch::{Fragment, Watch};

/// Different searches of one look; with more of them, they take turns.
const SEARCHES_MAX: usize = 16;
/// What a look at the subscriptions counts as.
const SUBSCRIPTIONS_COST: u32 = 2;

/// Receives what a page watches, first as it is and then whenever it changes.
pub(super) type Subscription = watch::Receiver<Option<Fragment>>;

#[derive(Default)]
pub(super) struct Board {
    watched: HashMap<Watch, Watched>,
    /// Looks so far.
    looks: u64,
    /// Whether a task looks.
    begun: bool,
}

struct Watched {
    shown: watch::Sender<Option<Fragment>>,
    /// Whether it may have changed since it was looked at.
    stale: bool,
    looked: u64,
}

/// What one look looks at.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) authors: Vec<i64>,
    pub(super) articles: Vec<i64>,
    pub(super) patterns: Vec<String>,
    /// Looked at alone.
    pub(super) subscriptions: bool,
}

impl Board {
    pub(super) fn open(&mut self, watch: Watch) -> Subscription {
        match self.watched.entry(watch) {
            Entry::Occupied(watched) => watched.get().shown.subscribe(),
            Entry::Vacant(room) => {
                let (shown, subscription) = watch::channel(None);
                room.insert(Watched { shown, stale: true, looked: 0 });
                subscription
            }
        }
    }

    /// Whether the caller is the one who has to look from now on.
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// Forgets what nobody watches any more. Nothing left: whoever looked stops.
    pub(super) fn end_if_unwatched(&mut self) -> bool {
        self.watched.retain(|_, watched| watched.shown.receiver_count() > 0);
        if self.watched.is_empty() {
            self.begun = false;
        }
        self.watched.is_empty()
    }

    /// Something was committed: anything may have changed, but what search knows it knows, and how the
    /// subscriptions stand is looked at by the clock.
    pub(super) fn all_stale(&mut self) {
        for (watch, watched) in &mut self.watched {
            match watch {
                Watch::Known(_) => watched.stale = watched.shown.borrow().is_none(),
                Watch::Subscriptions => {}
                Watch::Count(_) | Watch::Results(_) => watched.stale = true,
            }
        }
    }

    pub(super) fn watches_subscriptions(&self) -> bool {
        self.watched.contains_key(&Watch::Subscriptions)
    }

    /// Some time has passed.
    pub(super) fn subscriptions_stale(&mut self) {
        if let Some(watched) = self.watched.get_mut(&Watch::Subscriptions) {
            watched.stale = true;
        }
    }

    pub(super) fn is_stale(&self) -> bool {
        self.watched.values().any(|watched| watched.stale && watched.shown.receiver_count() > 0)
    }

    /// The subscriptions if they are stale; else all stale numbers, and those stale searches that have
    /// waited longest.
    pub(super) fn next_round(&mut self) -> Round {
        self.looks += 1;
        if self.takes_subscriptions() {
            return Round { subscriptions: true, ..Round::default() };
        }
        let mut round = Round::default();
        let mut searches = Vec::new();
        for (watch, watched) in &mut self.watched {
            if !watched.stale || watched.shown.receiver_count() == 0 {
                continue;
            }
            match watch {
                Watch::Count(author_id) => round.authors.push(*author_id),
                Watch::Known(article_id) => round.articles.push(*article_id),
                Watch::Subscriptions => {}
                Watch::Results(pattern) => {
                    searches.push((pattern, watched));
                    continue;
                }
            }
            watched.stale = false;
        }
        searches.sort_unstable_by_key(|(_, watched)| watched.looked);
        for (pattern, watched) in searches.into_iter().take(SEARCHES_MAX) {
            round.patterns.push(pattern.clone());
            watched.stale = false;
            watched.looked = self.looks;
        }
        round
    }

    fn takes_subscriptions(&mut self) -> bool {
        let watched = self.watched.get_mut(&Watch::Subscriptions);
        watched.is_some_and(|watched| {
            let wanted = watched.shown.receiver_count() > 0;
            std::mem::take(&mut watched.stale) && wanted
        })
    }

    /// Pages are sent what differs from what they were sent before.
    pub(super) fn show(&mut self, seen: Vec<(Watch, Fragment)>) {
        for (watch, fragment) in seen {
            let Some(watched) = self.watched.get(&watch) else { continue };
            watched.shown.send_if_modified(|shown| {
                let changed = shown.as_ref() != Some(&fragment);
                *shown = Some(fragment);
                changed
            });
        }
    }
}

impl Round {
    pub(super) fn statements(&self) -> u32 {
        let of_subscriptions = if self.subscriptions { SUBSCRIPTIONS_COST } else { 0 };
        u32::from(self.asks_for_numbers()) + u32::from(self.asks_for_results()) + of_subscriptions
    }

    pub(super) fn asks_for_numbers(&self) -> bool {
        !self.authors.is_empty() || !self.articles.is_empty()
    }

    pub(super) fn asks_for_results(&self) -> bool {
        !self.patterns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(number: i64) -> (Watch, Fragment) {
        (Watch::Count(7), Fragment::from(number.to_string()))
    }

    #[test]
    fn a_page_gets_what_is_so_now_and_then_only_what_changed() {
        let mut board = Board::default();
        let mut page = board.open(Watch::Count(7));
        assert_eq!(board.next_round().authors, [7]);
        board.show(vec![count(1)]);
        assert_eq!(page.borrow_and_update().as_deref(), Some("1"));
        board.show(vec![count(1)]);
        assert!(!page.has_changed().unwrap());
        board.show(vec![count(2)]);
        assert!(page.has_changed().unwrap());
        let later = board.open(Watch::Count(7));
        assert_eq!(later.borrow().as_deref(), Some("2"));
        assert!(!board.is_stale(), "a second page that watches the same costs no look");
    }

    #[test]
    fn many_pages_that_watch_the_same_are_one_look() {
        let mut board = Board::default();
        let pages: Vec<_> = (0..200).map(|page| board.open(Watch::Count(page % 3))).collect();
        let round = board.next_round();
        assert_eq!((round.authors.len(), round.statements()), (3, 1));
        drop(pages);
        assert!(board.end_if_unwatched());
    }

    #[test]
    fn searches_take_turns_and_none_is_left_out() {
        let mut board = Board::default();
        let patterns: Vec<_> = (0..SEARCHES_MAX * 2 + 3).map(|n| format!("\"{n}\"")).collect();
        let _pages: Vec<_> =
            patterns.iter().map(|pattern| board.open(Watch::Results(pattern.clone()))).collect();
        let mut looked = std::collections::HashSet::new();
        for _ in 0..3 {
            // A commit between any two looks must not put the first ones before the others again.
            board.all_stale();
            let round = board.next_round();
            assert!(round.patterns.len() <= SEARCHES_MAX);
            looked.extend(round.patterns);
        }
        assert_eq!(looked.len(), patterns.len());
    }

    #[test]
    fn the_subscriptions_are_looked_at_by_the_clock_and_hold_nothing_else_up() {
        let mut board = Board::default();
        let page = board.open(Watch::Subscriptions);
        let _other = board.open(Watch::Count(7));
        assert!(board.watches_subscriptions() && board.next_round().subscriptions);
        board.all_stale();
        let round = board.next_round();
        assert!(!round.subscriptions && round.authors == [7]);
        assert!(!board.is_stale());
        board.subscriptions_stale();
        assert!(board.is_stale() && board.next_round().statements() == SUBSCRIPTIONS_COST);
        drop(page);
        board.subscriptions_stale();
        assert!(!board.next_round().subscriptions && !board.end_if_unwatched());
        assert!(!board.watches_subscriptions());
    }

    #[test]
    fn what_nobody_watches_is_not_looked_at() {
        let mut board = Board::default();
        let page = board.open(Watch::Known(1));
        assert!(board.begin() && !board.begin());
        assert!(board.is_stale());
        drop(page);
        assert!(!board.is_stale());
        assert_eq!(board.next_round().statements(), 0);
        assert!(board.end_if_unwatched());
        assert!(board.begin(), "the next page needs somebody who looks");
    }
}
