//! How fast dead letters are listed, of few and of many.

use crate::Result;
use crate::backlog::{self, Waiting};
use crate::bench::{Bench, SMALL};
use crate::database;
use crate::figures::queue_rate::drain_here;
use crate::latencies::Latencies;
use crate::part::{Part, Process};
use crate::queue_worker::{Fails, Form};
use crate::record::{Goal, Record};
use consign::{DeadLetters, Selection};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Instant;

/// Letters that lie there, and how they are called.
const LETTERS: [(i64, &str); 2] = [(1_000, "10^3"), (1_000_000, "10^6")];
/// Letters of a page.
const PAGE: usize = 50;
const ASKED: usize = 200;
/// The subscription is there once it has handled these.
const FIRST: Waiting = Waiting { messages: 100, bytes: SMALL };
const FINGERPRINT: &str = "it was to fail: #";
/// By hand, as a queue that gives up a message writes them, every tenth for another reason.
const FILL: &str = "insert into consign_dead_letter (subscription, partition, log_offset, message,
        attempts, reason, last_error, fingerprint, first_failed_at, died_at, kind, version,
        published_at, key, headers, payload)
    with recursive letter(n) as (select 1 union all select n + 1 from letter where n < ?1)
    select (select min(id) from consign_subscription),
        (select min(number) from consign_partition) + n % 8, 1000 + n, randomblob(16), 10,
        'attempts', 'it was to fail: ' || n, iif(n % 10 = 0, 'it was away', ?2), 1, n,
        'article.written', 1, 1, cast(n % 1000 as blob), null, zeroblob(60) from letter";

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    for (letters, name) in LETTERS {
        let database = bench.path(&format!("letters-{letters}.db"));
        if !database.exists() {
            let waiting = bench.with_backlog(&format!("letters-{letters}.db"), FIRST)?;
            drain_here(&waiting, FIRST.messages as i64, Form::Tx(Fails::None), 1)?;
            let db = database::by_hand(&waiting, "normal")?;
            db.execute(FILL, rusqlite::params![letters, FINGERPRINT])?;
            drop(db);
            backlog::close(&waiting)?;
        }
        let Found { first, of_one, alike, next } =
            Process::start(&Part::Listed(Listed { database }), None)?.answer()?;
        let pages = [
            ("first page", first),
            ("of one subscription", of_one),
            ("that failed alike", alike),
            ("a page from the middle", next),
        ];
        for (page, took) in pages {
            let name = |of: &str| format!("{page} of {name}, {of}");
            record.add(&name("p50"), "ms", Goal::None, took.p50());
            record.add(&name("p99"), "ms", Goal::AtMost(20.0), took.p99());
        }
    }
    Ok(())
}

/// A process that lists letters again and again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    database: PathBuf,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    first: Latencies,
    of_one: Latencies,
    alike: Latencies,
    next: Latencies,
}

impl Listed {
    pub(crate) async fn run(self) -> Result<Found> {
        let consign = database::open(&self.database).await?;
        let all = DeadLetters::default();
        let of_one = DeadLetters { subscription: Some("queue".to_owned()), ..all.clone() };
        let which = Selection { fingerprint: Some(FINGERPRINT.to_owned()), ..Selection::default() };
        let alike = DeadLetters { which, ..of_one.clone() };
        let newest = consign.dead_letters(&all, 1).await?.first().map(|letter| letter.id);
        let next = DeadLetters { before: newest.map(|id| id / 2), ..of_one.clone() };
        let mut found = Found::default();
        for _ in 0..ASKED {
            let pages = [
                (&all, &mut found.first),
                (&of_one, &mut found.of_one),
                (&alike, &mut found.alike),
                (&next, &mut found.next),
            ];
            for (wanted, took) in pages {
                let asked = Instant::now();
                let page = consign.dead_letters(wanted, PAGE).await?;
                took.add(asked.elapsed());
                if page.len() != PAGE {
                    return Err(format!("a page of {} letters", page.len()).into());
                }
            }
        }
        Ok(found)
    }
}
