//! How often the database may be looked at.

use std::time::{Duration, Instant};

/// So many statements at once after a quiet time, and so many a second after that: no second has
/// more than ten.
const AT_ONCE: f64 = 4.0;
const A_SECOND: f64 = 6.0;
/// Statements of one look at most.
const LOOK: f64 = 2.0;
/// The effects of a commit land about this long after it: one look sees the commit and all of them.
const EFFECTS_LAND_WITHIN: Duration = Duration::from_millis(15);

/// A bucket of statements.
#[derive(Debug)]
pub(super) struct Pace {
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, at: now }
    }

    /// How long to wait before the next look.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let missing = (LOOK - self.left_at(now)).max(0.0) / A_SECOND;
        Duration::from_secs_f64(missing).max(EFFECTS_LAND_WITHIN)
    }

    pub(super) fn spend(&mut self, statements: u32, now: Instant) {
        self.left = self.left_at(now) - f64::from(statements);
        self.at = now;
    }

    fn left_at(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + since * A_SECOND).min(AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When statements are run, if looks follow each other as closely as they may.
    fn run(statements_of_look: impl Fn(u64) -> u32) -> Vec<Duration> {
        let begun = Instant::now();
        let (mut pace, mut now, mut run) = (Pace::new(begun), begun, Vec::new());
        for look in 0..500 {
            now += pace.wait(now);
            let statements = statements_of_look(look);
            pace.spend(statements, now);
            run.extend((0..statements).map(|_| now - begun));
        }
        run
    }

    #[test]
    fn no_second_has_more_than_ten_statements() {
        for run in [run(|_| 2), run(|_| 1), run(|look| 1 + u32::from(look % 3 == 0))] {
            for (first, from) in run.iter().enumerate() {
                let within =
                    run[first..].partition_point(|at| *at < *from + Duration::from_secs(1));
                assert!(within <= 10, "{within} statements in the second after {from:?}");
            }
            assert!(run.len() > 450, "the pace does not stand still");
        }
    }

    #[test]
    fn after_a_quiet_time_a_look_waits_for_effects_alone() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        for _ in 0..2 {
            assert_eq!(pace.wait(begun), EFFECTS_LAND_WITHIN);
            pace.spend(2, begun);
        }
        assert!(pace.wait(begun) > Duration::from_millis(300));
        assert_eq!(pace.wait(begun + Duration::from_secs(2)), EFFECTS_LAND_WITHIN);
    }
}
