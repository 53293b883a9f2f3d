//! A message that is published again and again, at the times of a pattern.

use super::times::Times;
use crate::effect::panic_text;
use consign_core::{CronName, Draft, Error, Message, Result};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

/// A tick that no process published within this time of when it was due was missed.
const ON_TIME: Duration = Duration::from_mins(1);
/// Ticks that are published at once, at most: of those that were missed, the last ones.
const TICKS_MAX: usize = 1_000;

type Make = Box<dyn Fn(SystemTime) -> Result<Draft> + Send + Sync>;

/// Publishes a message again and again: a tick whenever `pattern` is due, by the clocks of `zone`.
///
/// `pattern` is a cron pattern: minute, hour, day of the month, month, day of the week; with a sixth
/// field before them, seconds. `zone` is one of the IANA's names, such as `Europe/Berlin`. A time
/// that the clocks leave out when they are put forward is as they go on; one that they show twice
/// is when they show it first. `tick` makes the message, from nothing or from the time it was due.
///
/// However many processes run it, each time has one tick. What follows from it is a subscription's.
/// A new cron begins when it is first started, and one whose pattern has changed begins anew.
///
/// # Examples
/// ```
/// use consign_worker::{Missed, cron};
/// # use consign_core::{Key, Kind, Message, Result};
/// # struct DigestDue;
/// # impl Message for DigestDue {
/// #     const TOPIC: &'static str = "digests";
/// #     const KINDS: &'static [Kind] = &[Kind { name: "digest.due", version: 1 }];
/// #     fn kind(&self) -> Kind { Self::KINDS[0] }
/// #     fn key(&self) -> Result<Option<Key>> { Ok(None) }
/// #     fn encode(&self) -> Result<bytes::Bytes> { Ok(bytes::Bytes::new()) }
/// #     fn decode(_: &str, _: u32, _: &[u8]) -> Result<Self> { Ok(Self) }
/// # }
/// let digest = cron("digest", "0 7 * * *", "Europe/Berlin", || DigestDue).missed(Missed::Skip);
/// ```
pub fn cron<F, A>(name: &str, pattern: &str, zone: &str, tick: F) -> Cron
where
    F: Tick<A>,
{
    let make = move |due| Draft::new(&tick.tick(due));
    Cron {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
        zone: zone.to_owned(),
        missed: Missed::Once,
        make: Box::new(make),
    }
}

/// A message under a name, and when it is due; see [`cron()`].
#[must_use = "give it to `schedule`"]
pub struct Cron {
    name: String,
    pattern: String,
    zone: String,
    missed: Missed,
    make: Make,
}

/// What is done about ticks that were due while no process ran, for more than a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// Nothing: the next one is on time.
    Skip,
    /// The last of them is published, late. So it is without a word.
    Once,
    /// All of them are published, late and in order; of more than 1,000, the last ones.
    All,
}

/// Makes a tick's message: a closure that takes nothing, or the time it was due.
pub trait Tick<A>: Send + Sync + 'static {
    /// What is published.
    type Message: Message;

    /// Makes the message of the tick that was due then.
    #[doc(hidden)]
    fn tick(&self, due: SystemTime) -> Self::Message;
}

impl<F, M> Tick<()> for F
where
    F: Fn() -> M + Send + Sync + 'static,
    M: Message,
{
    type Message = M;

    fn tick(&self, _: SystemTime) -> M {
        self()
    }
}

impl<F, M> Tick<SystemTime> for F
where
    F: Fn(SystemTime) -> M + Send + Sync + 'static,
    M: Message,
{
    type Message = M;

    fn tick(&self, due: SystemTime) -> M {
        self(due)
    }
}

impl Cron {
    /// What is done about ticks that nobody was there to publish; [`Missed::Once`] without this.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// Checks it.
    pub(crate) fn planned(self) -> Result<Planned> {
        let Self { name, pattern, zone, missed, make } = self;
        let times = Times::new(&pattern, &zone)?;
        if times.after(SystemTime::UNIX_EPOCH).is_none() {
            let message = format!("the cron {name} is never due: no day is as {pattern:?} says");
            return Err(Error::new("bad-cron", message));
        }
        Ok(Planned { name: CronName::new(&name)?, times, missed, make })
    }
}

/// A cron whose name and times are right.
pub(crate) struct Planned {
    pub(crate) name: CronName,
    pub(crate) times: Times,
    missed: Missed,
    make: Make,
}

impl Planned {
    /// Which ticks are published now, of those after `from`, and up to when that settles all; `None`
    /// where none is due.
    pub(crate) fn due(
        &self,
        from: SystemTime,
        now: SystemTime,
    ) -> Option<(SystemTime, Vec<SystemTime>)> {
        let first = self.times.after(from).filter(|due| *due <= now)?;
        let last = self.times.up_to(now).map_or(first, |last| last.max(first));
        let late = now.duration_since(last).unwrap_or_default();
        let ticks = match self.missed {
            Missed::Skip if late > ON_TIME => Vec::new(),
            Missed::Skip | Missed::Once => vec![last],
            Missed::All => self.times.between(from, last, TICKS_MAX),
        };
        Some((last, ticks))
    }

    /// The messages of these ticks.
    pub(crate) fn messages(&self, ticks: &[SystemTime]) -> Result<Vec<Draft>> {
        let all = || ticks.iter().map(|due| (self.make)(*due)).collect();
        catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|panic| {
            let (name, said) = (&self.name, panic_text(&*panic));
            Err(Error::new("cron-panicked", format!("making a tick of {name} panicked: {said}")))
        })
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, pattern, zone, missed, .. } = self;
        f.debug_struct("Cron")
            .field("name", name)
            .field("times", &format_args!("{pattern} {zone}"))
            .field("missed", missed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cron, Missed, Planned};
    use std::time::{Duration, SystemTime};

    const HOUR: Duration = Duration::from_hours(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn hourly(missed: Missed) -> Planned {
        let (name, pattern, zone) = ("hourly".into(), "0 * * * *".into(), "UTC".into());
        let make = Box::new(|_| unreachable!());
        Cron { name, pattern, zone, missed, make }.planned().unwrap()
    }

    fn at(hours: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + HOUR * hours
    }

    #[test]
    fn a_tick_on_time_is_published_whatever_the_policy() {
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            let cron = hourly(missed);
            assert_eq!(cron.due(at(3), at(4) - SECOND), None);
            assert_eq!(cron.due(at(3), at(4)), Some((at(4), vec![at(4)])));
            assert_eq!(cron.due(at(3), at(4) + SECOND * 59), Some((at(4), vec![at(4)])));
        }
    }

    #[test]
    fn missed_ticks_are_skipped_or_published_once_or_all_of_them() {
        let now = at(7) + HOUR / 2;
        let due = |missed| hourly(missed).due(at(3), now).unwrap();
        assert_eq!(due(Missed::Skip), (at(7), vec![]));
        assert_eq!(due(Missed::Once), (at(7), vec![at(7)]));
        assert_eq!(due(Missed::All), (at(7), vec![at(4), at(5), at(6), at(7)]));
    }

    #[test]
    fn however_many_were_missed_a_thousand_are_published() {
        let (last, ticks) = hourly(Missed::All).due(at(0), at(5_000)).unwrap();
        assert_eq!((last, ticks.len()), (at(5_000), 1_000));
        assert_eq!((ticks[0], ticks[999]), (at(4_001), at(5_000)));
    }
}
