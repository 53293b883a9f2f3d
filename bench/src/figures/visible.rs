//! From the commit of an article to the moment its author's number has changed.

use crate::Result;
use crate::bench::Bench;
use crate::database;
use crate::figures::api_while_workers::requests;
use crate::figures::behind_writers::{drained, verify_counted};
use crate::latencies::Latencies;
use crate::record::{Goal, Record};
use crate::site::{Author, Site, article};
use rusqlite::Connection;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const RATE: f64 = 200.0;
/// Between two articles that are watched; odd, so that they meet other rhythms everywhere.
const PAUSE: Duration = Duration::from_millis(47);
const LOOK_EVERY: Duration = Duration::from_micros(200);
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);
const GOAL: Goal = Goal::AtMost(30.0);

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    let idle = watch(bench, 0.0)?;
    record.add("idle, p50", "ms", Goal::None, idle.p50());
    record.add("idle, p99", "ms", GOAL, idle.p99());
    let busy = watch(bench, RATE)?;
    record.add("beside 200 requests/s, p50", "ms", Goal::None, busy.p50());
    record.add("beside 200 requests/s, p99", "ms", GOAL, busy.p99());
    Ok(())
}

fn watch(bench: &Bench, rate: f64) -> Result<Latencies> {
    let (data, authors) = bench.blog()?;
    let site = Site::start(&data, &["counter", "search"], None)?;
    let database = data.join("blog.db");
    drained(&database::by_hand(&database, "normal")?)?;
    let (watched, others) = authors.split_first().ok_or("there are no authors")?;
    let latencies = thread::scope(|threads| {
        let until = Instant::now() + Duration::from_secs_f64(bench.seconds);
        let (site, database) = (&site, &database);
        let watch = threads.spawn(move || watch_author(site, watched, database, until));
        let failed = requests(site, others, rate, bench.seconds).failed;
        let latencies = watch.join().expect("no panic")?;
        if failed == 0 { Ok(latencies) } else { Err(format!("{failed} requests failed").into()) }
    });
    let db = database::by_hand(&database, "normal")?;
    drained(&db)?;
    site.end()?;
    verify_counted(&db)?;
    latencies
}

fn watch_author(
    site: &Site,
    author: &Author,
    database: &Path,
    until: Instant,
) -> Result<Latencies> {
    let db = database::by_hand(database, "normal")?;
    let (mut client, mut latencies) = (site.client(), Latencies::default());
    let mut counted = counted(&db, author)?;
    while Instant::now() < until {
        thread::sleep(PAUSE);
        let article = article(counted as u64);
        client.post("/api/articles", &author.token, &article)?.expect(201)?;
        let committed = Instant::now();
        counted += 1;
        while self::counted(&db, author)? < counted {
            if committed.elapsed() > VISIBLE_WITHIN {
                return Err("an article is not counted".into());
            }
            thread::sleep(LOOK_EVERY);
        }
        latencies.add(committed.elapsed());
    }
    Ok(latencies)
}

/// The author's number, as the blog would answer it.
fn counted(db: &Connection, author: &Author) -> Result<i64> {
    let mut select = db.prepare_cached(
        "select coalesce((select articles from author_counts where author_id = authors.id), 0)
         from authors where name = ?1",
    )?;
    Ok(select.query_row([&author.name], |row| row.get(0))?)
}
