//! Which faults a schedule has, and how often: drawn from its seed.
//!
//! Not every schedule has all of them: one that dies every few steps never comes to what a rare
//! fault would show.

use crate::Random;
use std::time::Duration;

/// What goes wrong in a schedule, in a thousand calls each.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// A process dies.
    pub(super) dies: usize,
    /// A process stands still for a while.
    pub(super) stops: usize,
    /// A process is judged dead, and is not.
    pub(super) is_misjudged: usize,
    /// The database is busy.
    pub(super) is_busy: usize,
    /// A statement or commit fails, and nobody can say that it is not the message's doing.
    pub(super) is_refused: usize,
    /// Nobody answers a commit.
    pub(super) is_unknown: usize,
    /// A call takes its time.
    pub(super) is_slow: usize,
    /// The log cannot be read.
    pub(super) is_unread: usize,
    /// Processes leave and come back.
    pub(super) leaves: bool,
    /// Who died is only known to be dead when its lease has run out.
    pub(super) has_leases_only: bool,
    /// Nothing tells of a change.
    pub(super) is_silent: bool,
    /// Nothing can be written meanwhile.
    pub(super) outage: Option<(Duration, Duration)>,
    /// Every handler fails meanwhile, for one reason.
    pub(super) is_away: Option<(Duration, Duration)>,
    /// Messages of a page, at most.
    pub(super) page_max: usize,
    /// Messages that fare badly, in a hundred.
    pub(super) trouble: usize,
    /// Some messages kill whoever runs them.
    pub(super) kills: bool,
    /// Processes.
    pub(super) processes: usize,
    /// Messages.
    pub(super) messages: usize,
    /// How long messages are published.
    pub(super) publishes_for: Duration,
    /// How long things go wrong.
    pub(super) storm: Duration,
}

impl Plan {
    pub(super) fn drawn(random: &mut Random) -> Self {
        let mut rate = |of_schedules: usize, most: usize| {
            let is_on = random.below(100) < of_schedules;
            if is_on { 1 + random.below(most) } else { 0 }
        };
        let (dies, stops, is_misjudged) = (rate(60, 50), rate(30, 15), rate(30, 40));
        let (is_busy, is_refused, is_unknown) = (rate(40, 60), rate(25, 30), rate(35, 40));
        let (is_slow, is_unread) = (rate(40, 200), rate(25, 60));
        let trouble = rate(75, 40);
        let storm = Duration::from_millis(1_000 + 1_000 * random.below(4) as u64);
        let mut window = |of_schedules: usize| {
            let is_on = random.below(100) < of_schedules;
            let from = storm.mul_f64(random.below(60) as f64 / 100.0);
            let to = from + Duration::from_millis(200 + random.below(2_500) as u64);
            is_on.then_some((from, to))
        };
        let (outage, is_away) = (window(20), window(20));
        let processes = 1 + random.below(3);
        let has_leases_only = random.below(100) < 8;
        Self {
            dies,
            stops,
            is_misjudged,
            is_busy,
            is_refused,
            is_unknown,
            is_slow,
            is_unread,
            leaves: random.below(100) < 30,
            has_leases_only,
            is_silent: random.below(100) < 20,
            outage,
            is_away,
            page_max: [1, 2, 5, 500][random.below(4)],
            trouble,
            // That one has died, and has not merely stopped, nobody can say of a lease.
            kills: !has_leases_only && random.below(100) < 25,
            processes,
            messages: 12 + random.below(30),
            publishes_for: storm,
            storm,
        }
    }

    /// Nothing goes wrong but that what all handlers need is away for an hour; messages wait for it.
    pub(super) fn away_for_an_hour(random: &mut Random) -> Self {
        let storm = Duration::from_hours(1);
        Self {
            dies: 0,
            stops: 0,
            is_misjudged: 0,
            is_busy: 0,
            is_refused: 0,
            is_unknown: 0,
            is_slow: 0,
            is_unread: 0,
            leaves: false,
            has_leases_only: false,
            is_silent: false,
            outage: None,
            is_away: Some((Duration::ZERO, storm)),
            trouble: 0,
            kills: false,
            processes: 1,
            publishes_for: Duration::ZERO,
            storm,
            ..Self::drawn(random)
        }
    }
}
