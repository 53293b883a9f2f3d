//! When something is due again and again: a cron pattern, in a time zone.

use consign_core::{Error, Result};
use croner::Cron as Pattern;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::fmt;
use std::time::{Duration, SystemTime};

/// A pattern counts in whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// The times of a pattern, by the clocks of a zone.
///
/// A time that the clocks leave out, since they are put forward, is as they go on; one that they
/// show twice, since they are put back, is when they show it first. A pattern with `*` or a step in
/// its hours or minutes counts the hours that pass.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    pattern: Pattern,
    zone: TimeZone,
    /// As they were written.
    text: String,
}

impl Times {
    pub(crate) fn new(pattern: &str, zone: &str) -> Result<Self> {
        let text = format!("{pattern} {zone}");
        let parsed = pattern.parse::<Pattern>().map_err(|source| bad_pattern(pattern, &source))?;
        let zone = TimeZone::get(zone).map_err(|source| bad_zone(zone).caused_by(source))?;
        Ok(Self { pattern: parsed, zone, text })
    }

    /// The next one after a time; `None`: there is none.
    pub(crate) fn after(&self, time: SystemTime) -> Option<SystemTime> {
        let next = self.pattern.find_next_occurrence(&self.at(time)?, false).ok()?;
        Some(next.timestamp().into())
    }

    /// The last one before a time, or at it.
    pub(crate) fn up_to(&self, time: SystemTime) -> Option<SystemTime> {
        let last = self.pattern.find_previous_occurrence(&self.at(time)?, true).ok()?;
        Some(last.timestamp().into())
    }

    /// Those after `from` and up to `to`, the last `max` of them.
    pub(crate) fn between(&self, from: SystemTime, to: SystemTime, max: usize) -> Vec<SystemTime> {
        let is_after = |time: &SystemTime| *time > from;
        let first = self.up_to(to).filter(is_after);
        let before = |time: &SystemTime| self.up_to(*time - SECOND).filter(is_after);
        let mut all = std::iter::successors(first, before).take(max).collect::<Vec<_>>();
        all.reverse();
        all
    }

    fn at(&self, time: SystemTime) -> Option<Zoned> {
        Timestamp::try_from(time).ok().map(|time| time.to_zoned(self.zone.clone()))
    }
}

/// When the tick after `last` is due, of a cron whose times are written so: for tests, which look
/// whether it has come. `None`: never.
#[doc(hidden)]
#[must_use]
pub fn next_tick(times: &str, last: SystemTime) -> Option<SystemTime> {
    let (pattern, zone) = times.rsplit_once(' ')?;
    Times::new(pattern, zone).ok()?.after(last)
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bad_pattern(pattern: &str, source: &croner::errors::CronError) -> Error {
    let message = format!(
        "{pattern:?} is no cron pattern ({source}): write minute, hour, day of the month, month \
         and day of the week, as in \"0 7 * * *\""
    );
    Error::new("bad-cron", message)
}

fn bad_zone(zone: &str) -> Error {
    let message = format!(
        "there is no time zone {zone:?}: write one of the IANA's names, such as \"Europe/Berlin\" \
         or \"UTC\""
    );
    Error::new("bad-time-zone", message)
}

#[cfg(test)]
mod tests {
    use super::Times;
    use jiff::Timestamp;
    use std::time::{Duration, SystemTime};

    fn time(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    fn text(time: SystemTime) -> String {
        Timestamp::try_from(time).unwrap().to_string()
    }

    /// The times of a pattern in Berlin, from midnight UTC of a day on.
    fn check(pattern: &str, from: &str, wanted: &[&str]) {
        let times = Times::new(pattern, "Europe/Berlin").unwrap();
        let from = time(&format!("{from}T00:00:00Z")) - Duration::from_secs(1);
        let all = std::iter::successors(times.after(from), |time| times.after(*time));
        let found = all.take(wanted.len()).map(text).collect::<Vec<_>>();
        let wanted = wanted.iter().map(|time| format!("{time}:00Z")).collect::<Vec<_>>();
        assert_eq!(found, wanted, "{pattern}");
    }

    #[test]
    fn seven_in_the_morning_is_seven_whatever_the_season() {
        check("0 7 * * *", "2026-03-28", &["2026-03-28T06:00", "2026-03-29T05:00"]);
        check("0 7 * * *", "2026-10-24", &["2026-10-24T05:00", "2026-10-25T06:00"]);
    }

    /// On 29 March 2026, 02:00 is 03:00.
    #[test]
    fn a_time_that_the_clocks_leave_out_is_as_they_go_on() {
        let wanted = ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"];
        check("30 2 * * *", "2026-03-28", &wanted);
    }

    /// On 25 October 2026, 03:00 is 02:00.
    #[test]
    fn a_time_that_the_clocks_show_twice_is_once() {
        let wanted = ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"];
        check("30 2 * * *", "2026-10-24", &wanted);
    }

    #[test]
    fn every_hour_is_every_hour_that_passes() {
        let spring = ["2026-03-29T00:00", "2026-03-29T01:00", "2026-03-29T02:00"];
        check("0 * * * *", "2026-03-29", &spring);
        let autumn =
            ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00", "2026-10-25T03:00"];
        check("0 * * * *", "2026-10-25", &autumn);
    }

    /// What is published after an outage is what would have been published without it.
    #[test]
    fn looking_back_finds_what_looking_ahead_finds() {
        let patterns = ["30 2 * * *", "0 * * * *", "*/20 1-3 * * *", "15 3 * * 0", "0 0 29 2 *"];
        let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"];
        for (pattern, zone) in
            patterns.into_iter().flat_map(|pattern| zones.map(|zone| (pattern, zone)))
        {
            let times = Times::new(pattern, zone).unwrap();
            for day in ["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-31"] {
                let from = time(&format!("{day}T00:00:00Z"));
                let to = from + Duration::from_hours(24 * 3);
                let ahead = std::iter::successors(times.after(from), |time| times.after(*time));
                let ahead = ahead.take_while(|time| *time <= to).map(text).collect::<Vec<_>>();
                let back = times.between(from, to, 1_000).into_iter().map(text);
                assert_eq!(back.collect::<Vec<_>>(), ahead, "{times} {day}");
            }
        }
    }

    #[test]
    fn only_so_many_are_taken_and_the_last_ones() {
        let times = Times::new("0 * * * *", "UTC").unwrap();
        let (from, to) = (time("2026-01-01T00:00:00Z"), time("2026-01-02T00:30:00Z"));
        let all = times.between(from, to, 2).into_iter().map(text).collect::<Vec<_>>();
        assert_eq!(all, ["2026-01-01T23:00:00Z", "2026-01-02T00:00:00Z"]);
        assert_eq!(times.between(from, to, 1_000).len(), 24);
    }

    #[test]
    fn what_is_no_pattern_no_zone_or_never_due_is_said() {
        let code = |pattern, zone| Times::new(pattern, zone).unwrap_err().code();
        assert_eq!(code("0 7 * *", "UTC"), "bad-cron");
        assert_eq!(code("0 25 * * *", "UTC"), "bad-cron");
        assert_eq!(code("0 7 * * *", "Europe/Atlantis"), "bad-time-zone");
        let never = Times::new("0 0 31 2 *", "UTC").unwrap();
        assert_eq!(never.after(SystemTime::UNIX_EPOCH), None);
    }
}
