//! How many handlers share a savepoint: few where some fail, all of a group where none does.

use super::group::GROUP_MAX;

/// So many share one, at least: a savepoint costs what a statement costs.
const SHORTEST: usize = 4;
/// So many stretches in a row from which nothing is taken back, and the next ones are twice as long.
const CALM: usize = 5;

/// The messages between two savepoints.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// `None`: the whole group, without a savepoint.
    most: Option<usize>,
    /// Messages that have ended since it changed.
    calm: usize,
}

impl Stretch {
    /// Asks whether so many messages are to be followed by a savepoint.
    pub(super) fn is_full(&self, messages: usize) -> bool {
        self.most.is_some_and(|most| messages >= most)
    }

    /// Asks whether a group begins with a savepoint.
    pub(super) fn is_limited(&self) -> bool {
        self.most.is_some()
    }

    /// A message has ended well.
    pub(super) fn went_on(&mut self) {
        let Some(most) = self.most else { return };
        self.calm += 1;
        if self.calm >= most * CALM {
            self.calm = 0;
            self.most = Some(most * 2).filter(|most| *most < GROUP_MAX);
        }
    }

    /// One has failed and has taken others back with it.
    pub(super) fn was_taken_back(&mut self) {
        self.calm = 0;
        self.most = Some((self.most.unwrap_or(GROUP_MAX) / 2).max(SHORTEST));
    }
}

#[cfg(test)]
mod tests {
    use super::{CALM, SHORTEST, Stretch};

    #[test]
    fn it_is_short_while_messages_fail_and_without_end_when_none_has_for_a_while() {
        let mut stretch = Stretch::default();
        assert!(!stretch.is_limited() && !stretch.is_full(1_000));
        for _ in 0..20 {
            stretch.was_taken_back();
        }
        assert!(stretch.is_full(SHORTEST) && !stretch.is_full(SHORTEST - 1));
        for _ in 0..SHORTEST * CALM {
            stretch.went_on();
        }
        assert!(stretch.is_full(SHORTEST * 2) && !stretch.is_full(SHORTEST));
        for _ in 0..1_000 {
            stretch.went_on();
        }
        assert!(!stretch.is_limited());
    }
}
