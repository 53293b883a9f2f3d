//! How far the blog's workers fall behind clients that write as fast as they can.

use crate::Result;
use crate::bench::Bench;
use crate::database::{self, number, verify};
use crate::record::{Goal, Record};
use crate::site::{Author, Site, article, lag};
use rusqlite::Connection;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: usize = 16;
const LOOK_EVERY: Duration = Duration::from_millis(20);
const DRAINED_WITHIN: Duration = Duration::from_mins(10);

pub(crate) fn measure(bench: &Bench, record: &mut Record) -> Result {
    let (data, authors) = bench.blog()?;
    let site = Site::start(&data, &["counter", "search"], None)?;
    let db = database::by_hand(&data.join("blog.db"), "normal")?;
    drained(&db)?;
    let indexed = passed(&db, "search")?;
    let started = Instant::now();
    let written = write(site.address, &authors, bench.seconds)?;
    let (took, left) = (started.elapsed().as_secs_f64(), lag(&db, "counter")?);
    let (searched, waiting) = (passed(&db, "search")? - indexed, lag(&db, "search")?);
    let drain = drained(&db)?.as_secs_f64();
    site.end()?;
    verify_counted(&db)?;
    let rate = written as f64 / took;
    record.add("articles of 16 clients", "/s", Goal::None, rate);
    record.add("counter's lag at the end", "s", Goal::AtMost(1.0), left as f64 / rate);
    record.add("search, while they write", "/s", Goal::None, searched as f64 / took);
    record.add("search's lag at the end", "articles", Goal::None, waiting as f64);
    record.add("search, afterwards", "/s", Goal::None, waiting as f64 / drain.max(1e-3));
    record.add("drained within, of the run's length", "", Goal::AtMost(0.5), drain / took);
    Ok(())
}

fn write(address: SocketAddr, authors: &[Author], seconds: f64) -> Result<u64> {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    thread::scope(|threads| {
        let write = |client: usize| {
            let author = &authors[client % authors.len()];
            threads.spawn(move || write_alone(address, author, client as u64, until))
        };
        let clients: Vec<_> = (0..CLIENTS).map(write).collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).sum()
    })
}

fn write_alone(address: SocketAddr, author: &Author, client: u64, until: Instant) -> Result<u64> {
    let (mut http, mut written) = (crate::http::Client::new(address), 0);
    while Instant::now() < until {
        let article = article(client << 32 | written);
        http.post("/api/articles", &author.token, &article)?.expect(201)?;
        written += 1;
    }
    Ok(written)
}

fn passed(db: &Connection, subscription: &str) -> Result<i64> {
    let select = format!(
        "select sum(passed) from consign_cursor join consign_subscription
         on subscription = id where name = '{subscription}'"
    );
    number(db, &select)
}

/// How long it takes until both have passed everything.
pub(crate) fn drained(db: &Connection) -> Result<Duration> {
    let started = Instant::now();
    let running = "select count(*) from consign_subscription where state = 'running'";
    while number(db, running)? < 2 || lag(db, "counter")? + lag(db, "search")? > 0 {
        if started.elapsed() > DRAINED_WITHIN {
            return Err("the blog's workers do not drain".into());
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(started.elapsed())
}

pub(crate) fn verify_counted(db: &Connection) -> Result {
    let stored = number(db, "select count(*) from articles")?;
    verify("counted", number(db, "select sum(articles) from author_counts")?, stored)?;
    verify("searchable", number(db, "select count(*) from article_search")?, stored)
}
