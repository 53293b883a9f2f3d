//! The one cause why a subscription does not move.

use crate::owner::micros;
use crate::retention::RETIRED_AFTER;
use crate::standstill::Found;
use crate::waiting;
use consign_core::{MessageId, Standing};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

/// Who has messages and has passed none for this long stands still, in microseconds.
const STILL_AFTER: i64 = 30 * SECOND;
const SECOND: i64 = 1_000_000;
/// Characters of an error that are shown.
const ERROR_CHARACTERS_MAX: usize = 200;

/// Of each partition its next message, and of those the one that comes first.
pub(crate) const FIRST: &str = "SELECT c.partition, (SELECT min(due_at) FROM consign_retry
            WHERE subscription = c.subscription AND partition = c.partition
              AND due_at IS NOT NULL) AS due
    FROM consign_cursor c WHERE c.subscription = ?1 AND c.waiting > 0
    ORDER BY due IS NULL, due LIMIT 1";
pub(crate) const HEAD: &str = "SELECT r.id, r.attempt, r.last_error, r.key, parked.paused,
        parked.parked_at
    FROM consign_retry r INDEXED BY consign_retry_due LEFT JOIN consign_parked_key parked
        ON parked.subscription = r.subscription AND parked.partition = r.partition
        AND parked.key = r.key
    WHERE r.subscription = ?1 AND r.partition = ?2 AND r.due_at = ?3 LIMIT 1";
pub(crate) const PAUSED_KEY: &str = "SELECT key, parked_at FROM consign_parked_key
    WHERE subscription = ?1 AND paused = 1 LIMIT 1";

/// Whether a subscription moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubscriptionState {
    /// It passes messages.
    Running,
    /// Nothing is to be done now: it is at the end, and what it has waits for its time.
    Idle,
    /// Somebody paused it.
    Paused,
    /// It reads what was there before.
    Rebuilding,
    /// Its processes own no partition.
    StandingBy,
    /// It has something to do, and does not do it.
    Stalled,
}

impl SubscriptionState {
    /// The word that is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Paused => "paused",
            Self::Rebuilding => "rebuilding",
            Self::StandingBy => "standing_by",
            Self::Stalled => "stalled",
        }
    }
}

/// What is known of a subscription.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is seen on its own, and none excludes another"
)]
#[derive(Debug, Default)]
pub(crate) struct Facts<'f> {
    /// Its first cursors are placed, and its backfill is done.
    pub(crate) is_placed: bool,
    /// Why, and since when.
    pub(crate) paused: Option<(String, Option<i64>)>,
    pub(crate) has_lag: bool,
    pub(crate) is_anybody_alive: bool,
    pub(crate) is_owned: bool,
    /// What its living processes say.
    pub(crate) standstills: Vec<&'f Found>,
    /// When the oldest message was published that it has not passed.
    pub(crate) oldest: Option<i64>,
    /// When a cursor was last moved.
    pub(crate) moved_at: Option<i64>,
    /// Messages of it have a row of their own.
    pub(crate) waits: bool,
    /// When the next message of its topic is due.
    pub(crate) next_scheduled: Option<i64>,
    /// Messages that were removed before it read them.
    pub(crate) missed: i64,
    /// When a process named it last, to the hour.
    pub(crate) named_at: i64,
    /// Why its last rebuild is none.
    pub(crate) rebuild_refused: Option<String>,
    /// Since when a reader pins the WAL, and how many bytes that has.
    pub(crate) pinned: Option<(i64, i64)>,
}

impl Facts<'_> {
    /// The first cause that holds. Those are before others that hold them up as well.
    pub(crate) fn explain(
        &self,
        db: &Connection,
        of: i64,
        now: i64,
    ) -> rusqlite::Result<(SubscriptionState, Option<String>)> {
        if let Some(stopped) = self.stopped(now) {
            return Ok(stopped);
        }
        if let Some(limit) = self.standing(Standing::Limit) {
            let cause = format!("{} for {}", limit.cause, age(now - limit.since));
            return Ok((SubscriptionState::Running, Some(cause)));
        }
        let moves = if self.has_lag { SubscriptionState::Running } else { SubscriptionState::Idle };
        if let Some(cause) = if self.waits { next(db, of, now)? } else { None } {
            return Ok((moves, Some(cause)));
        }
        let cause = match (self.pinned, self.next_scheduled) {
            (Some((since, bytes)), _) => Some(format!(
                "a reader that stays open pins the WAL for {}, which has {} MiB: end that reader",
                age(now - since),
                bytes >> 20
            )),
            _ if self.has_lag => None,
            (None, Some(due)) => Some(format!("the next message is due {}", at(due, now))),
            (None, None) => Some("at the end".to_owned()),
        };
        let refused = self.rebuild_refused.as_ref();
        let refused = refused.map(|why| format!("its last rebuild was refused: {why}"));
        let causes = cause.into_iter().chain(refused).collect::<Vec<_>>();
        Ok((moves, (!causes.is_empty()).then(|| causes.join("; "))))
    }

    /// Nobody named it for so long that nothing is held back for it.
    fn retired(&self, now: i64) -> String {
        let silent = now - self.named_at;
        if silent < micros(RETIRED_AFTER) {
            return String::new();
        }
        let retired = format!("; it is retired, since no process has named it for {}", age(silent));
        match self.missed {
            0 => retired,
            missed => format!("{retired}, and {missed} messages were removed before it read them"),
        }
    }

    /// What keeps all of it, or a partition, from moving.
    fn stopped(&self, now: i64) -> Option<(SubscriptionState, Option<String>)> {
        use SubscriptionState::{Paused, Rebuilding, Stalled, StandingBy};
        let (state, cause) = if let Some((why, since)) = &self.paused {
            let age = since.map_or_else(String::new, |since| format!(" for {}", age(now - since)));
            (Paused, format!("paused{age}: {why}"))
        } else if !self.is_anybody_alive {
            let rest = if self.is_placed { "" } else { ", and its backfill is not done" };
            (Stalled, format!("no worker of it is alive{rest}{}", self.retired(now)))
        } else if !self.is_placed {
            let fails = self.standstill(now).map(|why| format!(": {why}")).unwrap_or_default();
            (Rebuilding, format!("its backfill is not done{fails}"))
        } else if let Some(why) = self.standstill(now) {
            (Stalled, why)
        } else if !self.is_owned {
            (StandingBy, "its workers own no partition yet".to_owned())
        } else {
            (Stalled, self.still(now)?)
        };
        Some((state, Some(cause)))
    }

    /// What its processes say: first that something is away, then where a partition waits.
    fn standstill(&self, now: i64) -> Option<String> {
        if let Some(Found { cause, since, .. }) = self.standing(Standing::All) {
            let age = age(now - since);
            return Some(format!("it pauses, and counts no attempt, for {age}: {cause}"));
        }
        let partitions = self.standstills.iter().filter_map(|found| match found.what {
            Standing::Partition(partition) => Some((partition.0, found)),
            Standing::All | Standing::Limit => None,
        });
        let partitions = partitions.collect::<Vec<_>>();
        let (partition, Found { cause, since, .. }) = partitions.first()?;
        let alike = partitions.len();
        let others = if alike > 1 { format!(" and {} more", alike - 1) } else { String::new() };
        Some(format!("partition {partition}{others} waits for {}: {cause}", age(now - since)))
    }

    fn standing(&self, what: Standing) -> Option<&Found> {
        self.standstills.iter().find(|found| found.what == what).copied()
    }

    /// It has had messages for long, and has passed none.
    fn still(&self, now: i64) -> Option<String> {
        let since = self.oldest?.max(self.moved_at?);
        let is_limited = self.standing(Standing::Limit).is_some();
        let is_still = self.has_lag && !is_limited && now - since > STILL_AFTER;
        is_still.then(|| {
            let age = age(now - since);
            format!("no message was passed for {age}: a handler is slow, or a process is stopped")
        })
    }
}

/// The message, or the key, that comes first of those that wait.
fn next(db: &Connection, of: i64, now: i64) -> rusqlite::Result<Option<String>> {
    let mut first = db.prepare_cached(FIRST)?;
    let first = first.query_row([of], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((partition, Some(due))) = first else { return paused_key(db, of, now) };
    let mut head = db.prepare_cached(HEAD)?;
    let (partition, due): (i64, i64) = (partition, due);
    head.query_row(params![of, partition, due], |row| waits(row, due, now)).optional()
}

fn paused_key(db: &Connection, of: i64, now: i64) -> rusqlite::Result<Option<String>> {
    let mut select = db.prepare_cached(PAUSED_KEY)?;
    let row = |row: &Row<'_>| Ok(key_is_paused(&key(row, 0)?, row.get(1)?, now));
    select.query_row([of], row).optional()
}

fn key_is_paused(key: &str, since: i64, now: i64) -> String {
    format!("the key {key} is paused for {}", age(now - since))
}

/// What the next message waits for; `row` is of [`HEAD`].
fn waits(row: &Row<'_>, due: i64, now: i64) -> rusqlite::Result<String> {
    let (attempt, paused): (u32, Option<bool>) = (row.get(1)?, row.get(4)?);
    let key = key(row, 3)?;
    if paused == Some(true) {
        return Ok(key_is_paused(&key, row.get(5)?, now));
    }
    let message = MessageId(Uuid::from_slice(row.get_ref(0)?.as_blob()?).unwrap_or_default());
    let error = row.get::<_, Option<String>>(2)?.unwrap_or_default();
    let error = error.lines().next().unwrap_or_default();
    let error = error.chars().take(ERROR_CHARACTERS_MAX).collect::<String>();
    let after = if error.is_empty() { error } else { format!(", after: {error}") };
    let who = match paused {
        Some(_) => format!("the key {key} waits behind message {message}"),
        None => format!("message {message} waits"),
    };
    Ok(format!("{who}: attempt {attempt} comes {}{after}", at(due, now)))
}

fn key(row: &Row<'_>, at: usize) -> rusqlite::Result<String> {
    let key = waiting::key(row, at)?;
    Ok(key.map_or_else(String::new, |key| String::from_utf8_lossy(key.as_bytes()).into_owned()))
}

fn at(due: i64, now: i64) -> String {
    if due > now { format!("in {}", age(due - now)) } else { "now".to_owned() }
}

/// How long ago something was, or is from now, in its largest unit.
fn age(micros: i64) -> String {
    let seconds = micros.max(0) / SECOND;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, SECOND, SubscriptionState, age};
    use crate::standstill::Found;
    use consign_core::{Partition, Standing};

    /// All is well, and it has messages.
    fn running<'f>() -> Facts<'f> {
        let (is_placed, is_anybody_alive, is_owned, has_lag) = (true, true, true, true);
        let (oldest, moved_at) = (Some(0), Some(0));
        let facts = Facts::default();
        Facts { is_placed, has_lag, is_anybody_alive, is_owned, oldest, moved_at, ..facts }
    }

    fn said(facts: &Facts<'_>, now: i64) -> Option<(SubscriptionState, String)> {
        facts.stopped(now).map(|(state, cause)| (state, cause.unwrap()))
    }

    #[test]
    fn a_cause_that_holds_up_others_comes_before_them() {
        let (waits, away) =
            (found(Standing::Partition(Partition(3)), "newer"), found(Standing::All, "refused"));
        let (now, late) = (SECOND, 60 * SECOND);
        assert_eq!(said(&running(), now), None);
        let still = said(&running(), late).unwrap();
        assert!(still.0 == SubscriptionState::Stalled && still.1.contains("60 s"), "{still:?}");
        let nobody_owns = Facts { is_owned: false, ..running() };
        assert_eq!(said(&nobody_owns, late).unwrap().0, SubscriptionState::StandingBy);
        let waiting = Facts { standstills: vec![&waits], ..nobody_owns };
        assert!(said(&waiting, late).unwrap().1.contains("partition 3 waits for 60 s: newer"));
        let both = Facts { standstills: vec![&waits, &away], ..waiting };
        assert!(said(&both, late).unwrap().1.contains("counts no attempt, for 60 s: refused"));
        let filling = Facts { is_placed: false, ..both };
        let said_filling = said(&filling, late).unwrap();
        assert_eq!(said_filling.0, SubscriptionState::Rebuilding);
        assert!(said_filling.1.contains("refused"), "{said_filling:?}");
        let nobody = Facts { is_anybody_alive: false, ..filling };
        assert!(said(&nobody, late).unwrap().1.contains("no worker of it is alive"));
        let paused = Facts { paused: Some(("the server moves".to_owned(), Some(0))), ..nobody };
        let paused = said(&paused, late).unwrap();
        assert_eq!(paused, (SubscriptionState::Paused, "paused for 60 s: the server moves".into()));
    }

    fn found(what: Standing, cause: &str) -> Found {
        let (subscription, worker, cause) = (1, Vec::new(), cause.to_owned());
        Found { subscription, worker, what, cause, since: 0 }
    }

    #[test]
    fn ages_are_said_in_their_largest_unit() {
        let said = [5, 119, 120, 7_200, 172_800, -3].map(|seconds| age(seconds * SECOND));
        assert_eq!(said, ["5 s", "119 s", "2 min", "2 h", "2 days", "0 s"]);
    }
}
