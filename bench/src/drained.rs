//! How fast processes drain what waits: looked at from outside, so that it is the same for all.

use crate::database::{self, number, verify};
use crate::machine::Watch;
use crate::{Result, messages};
use rusqlite::Connection;
use std::path::Path;
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_mins(2);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Effects so far.
pub(crate) const EFFECTS: &str = "select sum(articles) from author_counts";
/// Messages that the cursors of the one subscription passed.
pub(crate) const PASSED: &str = "select sum(passed) from consign_cursor";

/// A rate, and how busy the processors were meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    /// Percent of one processor, all programs together.
    pub(crate) busy: f64,
}

/// Waits until `select` says `all`. The clock starts at its first change: what it takes to start
/// processes is not part of a rate.
pub(crate) fn watch(db: &Connection, select: &str, all: i64) -> Result<Rate> {
    let deadline = Instant::now() + WITHIN;
    let before = number(db, select)?;
    let first = changed(db, select, deadline, |now| now > before)?;
    let (since, busy) = (Instant::now(), Watch::start()?);
    changed(db, select, deadline, |now| now >= all)?;
    let seconds = since.elapsed().as_secs_f64();
    Ok(Rate { per_second: (all - first) as f64 / seconds.max(1e-4), busy: busy.all()? })
}

fn changed(
    db: &Connection,
    select: &str,
    deadline: Instant,
    is_so: impl Fn(i64) -> bool,
) -> Result<i64> {
    loop {
        let now = number(db, select)?;
        if is_so(now) {
            return Ok(now);
        }
        if Instant::now() > deadline {
            return Err(format!("{select} still answers {now}").into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Refuses anything but one effect for each of so many messages.
pub(crate) fn verify_once(path: &Path, effects: i64) -> Result {
    let db = database::by_hand(path, "normal")?;
    verify("effects", number(&db, EFFECTS)?, effects)?;
    let authors = messages::AUTHORS;
    let most = effects.div_euclid(authors) + i64::from(effects % authors > 0);
    let uneven = format!("select count(*) from author_counts where articles > {most}");
    verify("authors with an effect too many", number(&db, &uneven)?, 0)
}
