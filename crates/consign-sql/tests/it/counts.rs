//! Accepted = applied + dead + waiting + discarded, kept as it happens, audited against the tables.

use crate::database::{Database, Worker, dead, failed};
use consign_core::{Fate, Offset, Settle, Settled};
use consign_sql::Selection;
use consign_test::Random;
use std::collections::BTreeSet;

const KEYS: [Option<&str>; 5] = [None, Some("a"), Some("b"), Some("c"), Some("d")];
const MESSAGES: u64 = 120;
const STEPS: usize = 400;

/// What the counters say, and what a scan of the tables does.
const COUNTED: &str = "select applied || ' ' || dead || ' ' || waiting || ' ' || discarded || ' '
    || marked || ' ' || (next_offset - started_offset + marked) from consign_cursor";
const ADD_UP: &str = "select next_offset - started_offset + marked
    - coalesce((select sum(total) from consign_skipped), 0)
    - applied - dead - waiting - discarded from consign_cursor";
const SCANNED: &str = "select (select count(*) from consign_dead_letter) || ' '
    || (select count(*) from consign_retry) || ' ' || (select count(*) from consign_done)";
const OF_CURSOR: &str = "select dead || ' ' || waiting || ' ' || marked from consign_cursor";
/// The head of a parked key has a time, and a key is parked only where messages of it wait.
const STUCK: &str =
    "select count(*) from consign_parked_key parked where paused = 0 and not exists (
    select 1 from consign_retry head where head.key = parked.key and head.due_at is not null
    and not exists (select 1 from consign_retry before
        where before.key = head.key and before.log_offset < head.log_offset))";

/// What the test knows of the messages, to choose what is possible.
#[derive(Default)]
struct Model {
    cursor: u64,
    finished: BTreeSet<u64>,
    waiting: BTreeSet<u64>,
    applied: usize,
}

impl Model {
    /// Ends a message of the log, anyhow.
    fn first(&mut self, random: &mut Random, worker: &Worker) -> Option<Settle> {
        let open = (self.cursor..MESSAGES).filter(|offset| !self.finished.contains(offset));
        let offset = open.take(1 + random.below(9)).last()?;
        let fate = fate(random);
        self.finished.insert(offset);
        let from = self.cursor;
        while self.finished.remove(&self.cursor) {
            self.cursor += 1;
        }
        let mut part = worker.part(from, self.cursor);
        if offset >= self.cursor {
            part.marks.push(Offset(offset));
        }
        match &fate {
            None => self.applied += 1,
            Some(Fate::Retry { .. } | Fate::Parked) => drop(self.waiting.insert(offset)),
            Some(_) => {}
        }
        part.aside = fate.map(|fate| (Offset(offset), fate)).into_iter().collect();
        Some(part)
    }

    /// Ends a message that had waited, or lets it wait again.
    fn again(&mut self, random: &mut Random, worker: &Worker) -> Option<Settle> {
        let nth = random.below(self.waiting.len().max(1));
        let offset = self.waiting.iter().nth(nth).copied()?;
        let fate = fate(random);
        match &fate {
            None => {
                self.applied += 1;
                self.waiting.remove(&offset);
            }
            Some(Fate::Retry { .. } | Fate::Parked) => {}
            Some(_) => drop(self.waiting.remove(&offset)),
        }
        let again = vec![(Offset(offset), fate)];
        Some(Settle { again, ..worker.part(self.cursor, self.cursor) })
    }
}

fn fate(random: &mut Random) -> Option<Fate> {
    match random.below(8) {
        0 => Some(dead("no such address")),
        1 => Some(Fate::Discarded("obsolete".to_owned())),
        2 | 3 => Some(failed(2)),
        4 => Some(Fate::Parked),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_as_it_happens_is_what_a_scan_finds() {
    let mut random = Random::new("what_is_counted_as_it_happens_is_what_a_scan_finds");
    let database = Database::new().await;
    let keys = (0..MESSAGES).map(|_| KEYS[random.below(KEYS.len())]).collect::<Vec<_>>();
    database.publish(&keys).await;
    let worker = Worker::start(&database).await;
    let mut model = Model::default();
    for step in 0..STEPS {
        let part = if random.below(3) == 0 {
            model.again(&mut random, &worker)
        } else {
            model.first(&mut random, &worker)
        };
        if let Some(part) = part {
            let settled = worker.settle(part).await;
            assert!(matches!(settled, Settled::All(_)), "step {step}: {settled:?}");
        }
        if step % 100 == 99 {
            database.log.redrive("mailer", &Selection::default(), None).await.unwrap();
            worker.execute().await;
            model.waiting = database
                .rows("select cast(log_offset as text) from consign_retry")
                .await
                .iter()
                .map(|offset| offset.parse().unwrap())
                .collect();
        }
        let counted = database.rows(COUNTED).await;
        assert_eq!(database.number(ADD_UP).await, 0, "step {step}: {counted:?}");
        assert_eq!(database.rows(OF_CURSOR).await, database.rows(SCANNED).await, "step {step}");
        let applied = database.number("select applied from consign_cursor").await;
        assert_eq!(applied.unsigned_abs(), model.applied as u64, "step {step}");
        assert_eq!(database.number(STUCK).await, 0, "step {step}: a key waits for nobody");
    }
    assert!(model.applied > 20, "it was a real history");
}
