//! The blog over HTTP while workers drain a backlog beside it in the same database.

use crate::Result;
use crate::bench::Bench;
use crate::database::{self, number, verify};
use crate::http::Client;
use crate::latencies::Latencies;
use crate::open_loop::{self, Due};
use crate::record::{Goal, Record};
use crate::shim::Shim;
use crate::site::{Author, Site, article};
use crate::worker::Crew;
use std::sync::Mutex;
use std::time::Instant;

const RATE: f64 = 200.0;
const WORKERS: [usize; 3] = [0, 3, 20];
/// A p99 below this is good, whatever it is without workers.
const GOOD: f64 = 8.0;
/// Articles that are there to be read.
const ARTICLES: u64 = 50;

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    for (disk, shim) in [("", None), (", a sync of 4 ms", Some(bench.slow_disk()?))] {
        let mut alone = None;
        for workers in WORKERS {
            let served = serve(bench, workers, shim)?;
            let what = format!("{workers} workers{disk}");
            let (p50, p99) = (served.all.p50(), served.all.p99());
            record.add(&format!("{what}: failed"), "", Goal::AtMost(0.0), served.failed as f64);
            record.add(&format!("{what}: p50"), "ms", Goal::None, p50);
            record.add(&format!("{what}: p99"), "ms", Goal::None, p99);
            record.add(
                &format!("{what}: publishes, p50"),
                "ms",
                Goal::None,
                served.publishes.p50(),
            );
            record.add(
                &format!("{what}: publishes, p99"),
                "ms",
                Goal::None,
                served.publishes.p99(),
            );
            let without = *alone.get_or_insert(p99);
            if workers > 0 {
                let may = GOOD.max(without * 2.0);
                let measure = format!("{what}: p99 ÷ max(8 ms, 2x without)");
                record.add(&measure, "", Goal::AtMost(1.0), p99 / may);
                record.add(&format!("{what}: effects"), "/s", Goal::None, served.effects);
            }
        }
    }
    Ok(())
}

/// What a client of the blog saw, and what workers did meanwhile.
#[derive(Default)]
pub(crate) struct Served {
    pub(crate) all: Latencies,
    publishes: Latencies,
    published: i64,
    pub(crate) failed: u64,
    effects: f64,
}

fn serve(bench: &Bench, workers: usize, shim: Option<&Shim>) -> Result<Served> {
    let (data, authors) = bench.blog_with_backlog()?;
    let database = data.join("blog.db");
    let stored = number(&database::by_hand(&database, "normal")?, STORED)?;
    let site = Site::start(&data, &[], shim)?;
    let crew = Crew::start(&database, workers, shim)?;
    let (before, started) = (crew.effects()?, Instant::now());
    let mut served = requests(&site, &authors, RATE, bench.seconds);
    let effects = crew.effects()? - before;
    served.effects = effects as f64 / started.elapsed().as_secs_f64();
    site.end()?;
    if !crew.end()? {
        return Err("the backlog did not outlast the run: ask for a larger --backlog".into());
    }
    let found = number(&database::by_hand(&database, "normal")?, STORED)?;
    verify("articles", found, stored + served.published)?;
    Ok(served)
}

const STORED: &str = "select count(*) from articles";

/// Half of them publish, half of them read.
pub(crate) fn requests(site: &Site, authors: &[Author], rate: f64, seconds: f64) -> Served {
    let served = Mutex::new(Served::default());
    let connect = || site.client();
    open_loop::run(rate, seconds, connect, |client: &mut Client, due| {
        let publishes = due.number % 2 == 0;
        let good = request(client, authors, due);
        let took = due.at.elapsed();
        let mut served = served.lock().expect("no panic");
        served.all.add(took);
        match good {
            Ok(()) if publishes => {
                served.publishes.add(took);
                served.published += 1;
            }
            Ok(()) => {}
            Err(error) => {
                eprintln!("a request failed: {error}");
                served.failed += 1;
            }
        }
    });
    served.into_inner().expect("no panic")
}

fn request(client: &mut Client, authors: &[Author], Due { number, .. }: Due) -> Result {
    let author = &authors[number as usize % authors.len()];
    let answer = match number % 4 {
        0 | 2 => client.post("/api/articles", &author.token, &article(number))?.expect(201),
        1 => client.get(&format!("/api/articles/{}", 1 + number % ARTICLES))?.expect(200),
        _ => client.get(&format!("/api/authors/{}", author.name))?.expect(200),
    };
    answer.map(drop)
}

/// Articles to be read, before anything is measured.
pub(crate) fn write_articles(site: &Site, authors: &[Author]) -> Result {
    let mut client = site.client();
    for number in 0..ARTICLES {
        let author = &authors[number as usize % authors.len()];
        client.post("/api/articles", &author.token, &article(number))?.expect(201)?;
    }
    Ok(())
}
