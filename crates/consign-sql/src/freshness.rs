//! How far a subscription is with the messages of a receipt, or with all that is there.

use consign_core::{Error, Freshness, Receipt, Result};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Of a queue, done marks are looked at for so many messages in a row; for more, the cursor alone.
const MARKS_MAX: i64 = 16;

const FIND: &str =
    "SELECT s.id, s.reads = 'queue', s.state = 'running' AND s.rebuild IS NOT 'asked',
        s.topic, t.name, t.partitions, t.first_number
    FROM consign_subscription s JOIN consign_topic t ON t.id = s.topic WHERE s.name = ?1";
const ENDS: &str = "SELECT number, next_offset FROM consign_partition WHERE topic = ?1";
const END: &str = "SELECT next_offset FROM consign_partition WHERE number = ?1";
const CURSOR: &str =
    "SELECT next_offset FROM consign_cursor WHERE subscription = ?1 AND partition = ?2";
const MARKED: &str = "SELECT count(*) FROM consign_done
    WHERE subscription = ?1 AND partition = ?2 AND log_offset BETWEEN ?3 AND ?4";
const SET_ASIDE: &str = "SELECT EXISTS (SELECT 1 FROM consign_dead_letter
        WHERE subscription = ?1 AND partition = ?2 AND log_offset BETWEEN ?3 AND ?4),
    EXISTS (SELECT 1 FROM consign_retry
        WHERE subscription = ?1 AND partition = ?2 AND log_offset BETWEEN ?3 AND ?4)";

/// What somebody waits for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    subscription: String,
    up_to: UpTo,
}

#[derive(Clone, Debug)]
enum UpTo {
    Receipt(Receipt),
    /// All that is there when it is first looked at.
    End,
    Ends(Vec<Stretch>),
}

/// Messages of a partition that lie one after the other.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// Among all partitions of the database.
    partition: i64,
    first: i64,
    last: i64,
}

/// A subscription's row and its topic's.
struct Found {
    id: i64,
    is_queue: bool,
    is_running: bool,
    topic: i64,
    topic_name: String,
    partitions: u16,
    first_number: i64,
}

/// What was found of some messages.
#[derive(Default)]
struct Seen {
    behind: i64,
    is_waiting: bool,
    is_dead: bool,
}

impl Target {
    pub(crate) fn new(subscription: &str, receipt: Option<&Receipt>) -> Self {
        let up_to = receipt.map_or(UpTo::End, |receipt| UpTo::Receipt(receipt.clone()));
        Self { subscription: subscription.to_owned(), up_to }
    }

    /// Looks once; an error of its own is one of the receipt, not of the database.
    pub(crate) fn look(&mut self, db: &Connection) -> rusqlite::Result<Result<Freshness>> {
        let Some(found) = find(db, &self.subscription)? else {
            // It may be started yet.
            return Ok(Ok(Freshness::TimedOut { behind: 1 }));
        };
        if matches!(self.up_to, UpTo::End) {
            self.up_to = UpTo::Ends(ends(db, found.topic)?);
        }
        let mut seen = Seen { behind: i64::from(!found.is_running), ..Seen::default() };
        match &self.up_to {
            UpTo::Ends(stretches) => {
                stretches.iter().try_for_each(|stretch| found.passed(db, *stretch, &mut seen))?;
            }
            UpTo::Receipt(receipt) => {
                let Some(stretches) = found.stretches(db, receipt)? else {
                    return Ok(Err(unknown(receipt)));
                };
                for stretch in stretches {
                    found.done(db, stretch, &mut seen)?;
                }
            }
            UpTo::End => unreachable!("it was looked up above"),
        }
        Ok(Ok(seen.freshness()))
    }
}

fn find(db: &Connection, subscription: &str) -> rusqlite::Result<Option<Found>> {
    let row = |row: &Row<'_>| {
        let (id, is_queue, is_running) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (topic, topic_name) = (row.get(3)?, row.get(4)?);
        let (partitions, first_number) = (row.get(5)?, row.get(6)?);
        Ok(Found { id, is_queue, is_running, topic, topic_name, partitions, first_number })
    };
    db.prepare_cached(FIND)?.query_row([subscription], row).optional()
}

/// All that is in the log, and was.
fn ends(db: &Connection, topic: i64) -> rusqlite::Result<Vec<Stretch>> {
    let stretch = |row: &Row<'_>| {
        let (partition, next) = (row.get(0)?, row.get::<_, i64>(1)?);
        Ok(Stretch { partition, first: 0, last: next - 1 })
    };
    db.prepare_cached(ENDS)?.query_map([topic], stretch)?.collect()
}

impl Found {
    /// What of a receipt lies in the subscription's topic; `None`: the log never had it.
    fn stretches(
        &self,
        db: &Connection,
        receipt: &Receipt,
    ) -> rusqlite::Result<Option<Vec<Stretch>>> {
        let mut stretches = Vec::<Stretch>::new();
        for at in receipt.messages().iter().filter(|at| at.topic.as_str() == self.topic_name) {
            if at.partition.0 >= self.partitions {
                return Ok(None);
            }
            let partition = self.first_number + i64::from(at.partition.0);
            let offset = at.offset.0.cast_signed();
            let goes_on = |of: &&mut Stretch| of.partition == partition && of.last + 1 == offset;
            match stretches.iter_mut().find(goes_on) {
                Some(stretch) => stretch.last = offset,
                None => stretches.push(Stretch { partition, first: offset, last: offset }),
            }
        }
        for Stretch { partition, last, .. } in &stretches {
            let end: i64 = db.prepare_cached(END)?.query_row([partition], |row| row.get(0))?;
            if *last >= end {
                return Ok(None);
            }
        }
        Ok(Some(stretches))
    }

    fn cursor(&self, db: &Connection, partition: i64) -> rusqlite::Result<i64> {
        let mut select = db.prepare_cached(CURSOR)?;
        let next = select.query_row([self.id, partition], |row| row.get(0)).optional()?;
        Ok(next.unwrap_or(0))
    }

    /// Looks whether the cursor has passed it all.
    fn passed(&self, db: &Connection, of: Stretch, seen: &mut Seen) -> rusqlite::Result<()> {
        let next = self.cursor(db, of.partition)?;
        seen.behind += (of.last + 1 - next).max(0);
        Ok(())
    }

    /// Looks whether each message is done. That the cursor has passed it proves nothing while a row
    /// stands in for it.
    fn done(&self, db: &Connection, of: Stretch, seen: &mut Seen) -> rusqlite::Result<()> {
        let next = self.cursor(db, of.partition)?;
        let Stretch { partition, first, last } = of;
        let ahead = last + 1 - next.max(first);
        if ahead > 0 && !(self.is_queue && ahead <= MARKS_MAX && self.is_marked(db, of, next)?) {
            seen.behind += last + 1 - next;
        }
        let mut aside = db.prepare_cached(SET_ASIDE)?;
        let (is_dead, is_waiting): (bool, bool) = aside
            .query_row([self.id, partition, first, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
        seen.is_dead |= is_dead;
        seen.is_waiting |= is_waiting;
        Ok(())
    }

    fn is_marked(&self, db: &Connection, of: Stretch, next: i64) -> rusqlite::Result<bool> {
        let first = next.max(of.first);
        let given = params![self.id, of.partition, first, of.last];
        let marked: i64 = db.prepare_cached(MARKED)?.query_row(given, |row| row.get(0))?;
        Ok(marked == of.last + 1 - first)
    }
}

impl Seen {
    fn freshness(&self) -> Freshness {
        if self.is_dead {
            Freshness::Dead
        } else if self.is_waiting {
            Freshness::Waiting
        } else if self.behind > 0 {
            Freshness::TimedOut { behind: self.behind.unsigned_abs() }
        } else {
            Freshness::CaughtUp
        }
    }
}

fn unknown(receipt: &Receipt) -> Error {
    let message = format!(
        "the log has never had all of the messages {receipt}: the receipt is of another database, \
         or this one was restored from an older copy; go on without it"
    );
    Error::new("unknown-receipt", message)
}
