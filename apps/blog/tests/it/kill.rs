//! Processes are killed at random moments under load, and started again at once: nothing that was
//! answered is missing, nothing is counted twice, search finds what there is, and each article has one
//! receipt.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use consign_test::Random;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};

use crate::client::Client;
use crate::eventually::eventually;
use crate::load::{self, Stored, Told};
use crate::mail::mails;
use crate::process::{Process, is_alive, signal};
use crate::site::Place;

const TENS: usize = 20;
const AUTHORS: usize = 8;
/// A round lasts at most so long before somebody is killed.
const ROUND_MS: usize = 300;
/// Requests that were answered in the end, or there was no load.
const ANSWERED_MIN: u32 = 1_000;
const ORPHANS_GONE_WITHIN: Duration = Duration::from_secs(5);
const MOVED_WITHIN: Duration = Duration::from_secs(10);

/// Whom a round kills.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Api,
    Counter,
    Search,
    Mailer,
    All,
}

/// Nine rounds of ten, in any order; the last one is the supervised tree's.
const NINE: [Victim; 9] = [
    Victim::Api,
    Victim::Api,
    Victim::Counter,
    Victim::Counter,
    Victim::Search,
    Victim::Search,
    Victim::Mailer,
    Victim::Mailer,
    Victim::All,
];

/// Processes started alone: two workers of each kind, so that partitions have somewhere to go.
struct Fleet {
    api: Process,
    counters: [Process; 2],
    searches: [Process; 2],
    mailers: [Process; 2],
}

impl Fleet {
    fn start(place: &Place) -> Self {
        let worker = |name| place.run(&["worker", name]);
        Self {
            api: place.run(&["api"]),
            counters: [worker("counter"), worker("counter")],
            searches: [worker("search"), worker("search")],
            mailers: [worker("mailer"), worker("mailer")],
        }
    }

    /// SIGKILL, and started again at once.
    fn kill(&mut self, victim: Victim, place: &Place, random: &mut Random) {
        let one = random.below(2);
        match victim {
            Victim::Api => again(&mut self.api, place, &["api"]),
            Victim::Counter => again(&mut self.counters[one], place, &["worker", "counter"]),
            Victim::Search => again(&mut self.searches[one], place, &["worker", "search"]),
            Victim::Mailer => again(&mut self.mailers[one], place, &["worker", "mailer"]),
            Victim::All => {
                self.kill_all();
                *self = Self::start(place);
            }
        }
    }

    fn kill_all(&mut self) {
        let workers = self.counters.iter_mut().chain(&mut self.searches).chain(&mut self.mailers);
        workers.chain([&mut self.api]).for_each(Process::kill);
    }
}

fn again(process: &mut Process, place: &Place, arguments: &[&str]) {
    process.kill();
    *process = place.run(arguments);
}

/// How often partitions were taken, and how many are owned, of each subscription.
async fn ownership(place: &Place) -> [(i64, i64); 2] {
    let mut db = open(place).await;
    let select = "select coalesce(sum(c.epoch), 0), count(c.owner) from consign_subscription s
                  join consign_cursor c on c.subscription = s.id where s.name = ?1";
    let mut found = [(0, 0); 2];
    for (found, name) in found.iter_mut().zip(["counter", "search"]) {
        *found = sqlx::query_as(select).bind(name).fetch_one(&mut db).await.expect("it reads");
    }
    db.close().await.expect("it closes");
    found
}

async fn open(place: &Place) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(place.database());
    SqliteConnection::connect_with(&options).await.expect("the database is there")
}

async fn a_while(random: &mut Random) {
    let ms = u64::try_from(random.below(ROUND_MS)).expect("small");
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Nine rounds, each killing somebody who was started alone.
async fn nine_rounds(place: &Place, fleet: &mut Fleet, random: &mut Random) {
    let (mut victims, [before_counter, before_search]) = (NINE, ownership(place).await);
    random.shuffle(&mut victims);
    let mut were_owned = [false; 2];
    for victim in victims {
        a_while(random).await;
        fleet.kill(victim, place, random);
        note_owned(&mut were_owned, ownership(place).await);
    }
    // Who was killed last is taken over soon; on a busy machine not at once.
    eventually("partitions were owned and moved, or it proves nothing", MOVED_WITHIN, async || {
        let [counter, search] = ownership(place).await;
        note_owned(&mut were_owned, [counter, search]);
        let moved = counter.0 > before_counter.0 && search.0 > before_search.0;
        (moved && were_owned == [true; 2]).then_some(())
    })
    .await;
}

fn note_owned(were_owned: &mut [bool; 2], found: [(i64, i64); 2]) {
    for (was_owned, (_, owned)) in were_owned.iter_mut().zip(found) {
        *was_owned |= owned > 0;
    }
}

/// The tenth round: all of it as one tree, of which a worker is killed, and then the root.
async fn supervised_round(place: &Place, fleet: &mut Fleet, random: &mut Random) {
    fleet.kill_all();
    let mut tree = place.run(&[]);
    if random.coin() {
        tree.child(if random.coin() { "counter" } else { "search" }, &[]).await;
    }
    a_while(random).await;
    let workers = tree.children("worker");
    if random.coin() && !workers.is_empty() {
        signal(workers[random.below(workers.len())], "KILL");
        a_while(random).await;
    }
    let orphans = tree.children("worker");
    tree.kill();
    *fleet = Fleet::start(place);
    eventually("the orphans are gone", ORPHANS_GONE_WITHIN, async || {
        orphans.iter().all(|orphan| !is_alive(*orphan)).then_some(())
    })
    .await;
}

async fn stored(place: &Place) -> Stored {
    let mut db = open(place).await;
    let select = "select r.id, a.name, r.body from articles r join authors a on a.id = r.author_id";
    let rows = sqlx::query(select).fetch_all(&mut db).await.expect("it reads");
    let article = |row: &sqlx::sqlite::SqliteRow| (row.get(0), (row.get(1), row.get(2)));
    Stored { articles: rows.iter().map(article).collect() }
}

/// Messages in the log, less what was stored and what was deleted: 0 each.
async fn messages_astray(place: &Place) -> (i64, i64) {
    let mut db = open(place).await;
    let kinds = "select (select count(*) from consign_log where kind = 'article.published'),
        (select count(*) from consign_log where kind = 'article.deleted'),
        (select count(*) from articles), (select seq from sqlite_sequence where name = 'articles')";
    let (published, deleted, articles, ever): (i64, i64, i64, i64) =
        sqlx::query_as(kinds).fetch_one(&mut db).await.expect("it reads");
    (ever - published, ever - articles - deleted)
}

/// What each subscription has put aside, for whoever has to find out why a count is off.
async fn put_aside(place: &Place) -> String {
    let mut db = open(place).await;
    let select = "select s.name, c.partition, c.next_offset, c.epoch, c.waiting, c.dead
                  from consign_subscription s join consign_cursor c on c.subscription = s.id";
    let rows: Vec<(String, i64, i64, i64, i64, i64)> =
        sqlx::query_as(select).fetch_all(&mut db).await.expect("it reads");
    format!("name, partition, next offset, epoch, waiting, dead: {rows:?}")
}

async fn assert_found(client: &Client, stored: &Stored, told: &[Told]) {
    let stands = stored.words();
    let mut searches = tokio::task::JoinSet::new();
    for word in told.iter().flat_map(|told| told.words.iter().cloned()) {
        let expected = stands.get(&*word).copied().into_iter().collect::<Vec<_>>();
        let client = client.clone();
        searches.spawn(async move { (client.search(&word).await, expected, word) });
        if searches.len() > 16 {
            assert_found_one(searches.join_next().await);
        }
    }
    while let Some(found) = searches.join_next().await {
        assert_found_one(Some(found));
    }
}

/// Who was killed may have written a mail a second time: then it has replaced the first.
#[track_caller]
fn assert_mailed(place: &Place, stored: &Stored) {
    let mut receipts: HashMap<i64, u32> = HashMap::new();
    for mail in mails(place) {
        let link = mail.text.split("/articles/").nth(1).and_then(|rest| rest.lines().next());
        let id = link.and_then(|id| id.parse().ok()).expect("a link to the article");
        *receipts.entry(id).or_default() += 1;
    }
    for id in stored.articles.keys() {
        assert_eq!(receipts.get(id), Some(&1), "receipts for article {id}");
    }
    assert!(receipts.values().all(|count| *count == 1), "an article has two receipts");
}

type Found = Result<(Vec<i64>, Vec<i64>, String), tokio::task::JoinError>;

#[track_caller]
fn assert_found_one(found: Option<Found>) {
    let (found, expected, word) = found.expect("there is one").expect("it answers");
    assert_eq!(found, expected, "search for {word}");
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "how much load there was")]
async fn two_hundred_kills_under_load_lose_nothing_and_count_nothing_twice() {
    let mut random = Random::new("two hundred kills");
    let (since, place, stop) = (Instant::now(), Place::new(), Arc::new(AtomicBool::new(false)));
    let mut fleet = Fleet::start(&place);
    place.ready().await;
    let astray = messages_astray(&place).await;
    let mut authors = Vec::new();
    for _ in 0..AUTHORS {
        authors.push(load::write(place.author().await, random.part(), &stop));
    }
    let rude = place.author().await;
    authors.push(load::hang_up(rude, place.listen, random.part(), &stop));
    for _ in 0..TENS {
        nine_rounds(&place, &mut fleet, &mut random).await;
        supervised_round(&place, &mut fleet, &mut random).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for author in authors {
        told.push(author.await.expect("each was answered as it should be, or not at all"));
    }
    let killed_for = since.elapsed();
    place.ready().await;
    let audit = place.settled().await;
    let (client, stored) = (place.client(), stored(&place).await);
    // Before the counts: if these differ, the log says whether it lost a message or the counter did.
    assert_eq!(messages_astray(&place).await, astray, "an article without its message");
    assert_eq!(audit["differences"], serde_json::json!([]), "{}", put_aside(&place).await);
    assert_eq!(audit["articles"], stored.articles.len());
    for told in &told {
        stored.assert_as(told);
        let author = client.get(&format!("/api/authors/{}", told.name)).await;
        assert_eq!(
            author.expect_status(200)["articles"],
            stored.count(&told.name),
            "{}",
            told.name
        );
    }
    assert_found(&client, &stored, &told).await;
    assert_mailed(&place, &stored);
    let (answered, unanswered) = told.iter().fold((0, 0), |(answered, unanswered), told| {
        (answered + told.answered, unanswered + told.unanswered)
    });
    println!("{answered} answered, {unanswered} not; killed for {killed_for:?}");
    assert!(answered > ANSWERED_MIN && unanswered > 0, "{answered} and {unanswered}: no proof");
}
