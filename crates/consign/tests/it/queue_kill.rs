//! Processes that share queues are killed under load, one after the other, and started again at
//! once; and messages that kill whoever handles them.

use crate::child::Child;
use crate::database::Database;
use crate::queue_judge::{Load, Published, repeated};
use crate::queue_work::{CONCURRENCY, Queues, SUSPECTS, Worker, database, drained, left};
use consign_test::Random;
use consign_test::checker::Gate;
use std::process::Command;
use std::time::{Duration, Instant};

const PROCESSES: usize = 4;
const KILLS: usize = 100;
/// From one kill to the next, at most.
const ROUND_MS: usize = 500;
const KEYS: i64 = 24;
const EVERY: Duration = Duration::from_millis(30);
/// Handlers without `Tx` are settled in groups of so many.
const GROUP: usize = 100;
const DRAINS_WITHIN: Duration = Duration::from_mins(1);
/// The message that kills, and how often it may.
const KILLER: i64 = 5 * KEYS + 7;
const ATTEMPTS: u32 = 3;
/// A probe each, while something is away: more than attempts.
const TRIES: usize = 5;
/// So often all are killed at once.
const TREES: usize = 5;
const DEAD: &str = "select count(*) from consign_dead_letter";

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_double_nothing_with_tx_and_a_group_each_without() {
    let mut random = Random::new("a hundred kills of queues");
    let d = database(KEYS).await;
    let worker = Worker::on(Queues::Both);
    let mut fleet = (0..PROCESSES).map(|_| worker.start(&d)).collect::<Vec<_>>();
    let load = Load::start(d.consign.clone(), KEYS, EVERY);
    let (since, mut killed) = (Instant::now(), Vec::new());
    for _ in 0..KILLS {
        let pause = u64::try_from(random.below(ROUND_MS)).unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let victim = &mut fleet[random.below(PROCESSES)];
        victim.assert_runs();
        let id = victim.id();
        load.fault("kill", id);
        victim.kill();
        *victim = worker.start(&d);
        load.healed("kill", id);
        killed.push(id);
    }
    let (killed_for, backlog) = (since.elapsed(), left(&d).await);
    let published = load.end().await;
    drained(&d, DRAINS_WITHIN).await;
    fleet.iter_mut().for_each(Child::assert_runs);
    drop(fleet);
    let (repeated, suspects) = (repeated(&d), d.number(SUSPECTS).await);
    println!(
        "{} published, killed for {killed_for:?}, {backlog} were left, drained after {:?}; \
         {suspects} run alone, repeated: {repeated:?}",
        published.tasks,
        since.elapsed()
    );
    published.judge(&d, &["witness", "note"], &[Gate::Fault("kill".to_owned())]).await;
    for (worker, times) in &repeated {
        assert!(killed.contains(worker), "{worker} was not killed, and {times} are repeated");
        assert!(*times <= GROUP + CONCURRENCY, "a kill of {worker} repeats {times}");
    }
    assert!(!repeated.is_empty() && suspects > 0, "no kill hit anybody at work: no proof");
    assert_eq!(d.number(DEAD).await, 0);
}

/// A message that ends every process that handles it, of so many that are started again; answers what
/// was published, and how often it did.
async fn kills(d: &Database, queues: Queues, processes: usize) -> (Published, u32) {
    let worker = Worker { attempts: ATTEMPTS, killer: KILLER, ..Worker::on(queues) };
    let mut fleet = (0..processes).map(|_| worker.start(d)).collect::<Vec<_>>();
    let load = Load::start(d.consign.clone(), KEYS, EVERY);
    d.becomes("select count(*) > 1000 from consign_log", 1).await;
    let published = load.end().await;
    let (until, mut deaths) = (Instant::now() + DRAINS_WITHIN, 0);
    while left(d).await > 0 {
        for process in fleet.iter_mut().filter_map(|process| process.has_ended().then_some(process))
        {
            deaths += 1;
            *process = worker.start(d);
        }
        assert!(Instant::now() < until, "{deaths} deaths, and {} left", left(d).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!(
        "{} published, {deaths} deaths, {} run alone",
        published.tasks,
        d.number(SUSPECTS).await
    );
    (published, deaths)
}

async fn assert_given_up(d: &Database, deaths: u32) {
    assert_eq!(d.number(DEAD).await, 1);
    let select = "select reason, attempts, payload ->> 'number' from consign_dead_letter";
    let letter = sqlx::query_as::<_, (String, u32, i64)>(select).fetch_one(&d.pool).await.unwrap();
    assert_eq!(letter, ("killed".to_owned(), ATTEMPTS, KILLER));
    // Once before it was suspected.
    assert_eq!(deaths, ATTEMPTS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_with_tx_becomes_a_dead_letter_and_harms_no_other() {
    let d = database(KEYS).await;
    let (published, deaths) = kills(&d, Queues::Witness, 2).await;
    assert_given_up(&d, deaths).await;
    published.judge(&d, &["witness"], &[]).await;
    assert_eq!(d.number("select count(*) from witnesses").await, published.tasks - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_without_tx_becomes_a_dead_letter_and_harms_no_other() {
    let d = database(KEYS).await;
    let (published, deaths) = kills(&d, Queues::Note, 2).await;
    assert_given_up(&d, deaths).await;
    published.judge(&d, &["note"], &[]).await;
    let most = repeated(&d).into_values().max().unwrap_or(0);
    assert!(most <= GROUP + CONCURRENCY, "a death repeats {most}");
}

/// Nobody sees it die: the next process is started when it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_the_only_process_each_time_becomes_a_dead_letter() {
    for queues in [Queues::Witness, Queues::Note] {
        let d = database(KEYS).await;
        let (published, deaths) = kills(&d, queues, 1).await;
        assert_given_up(&d, deaths).await;
        let name = if queues == Queues::Witness { "witness" } else { "note" };
        published.judge(&d, &[name], &[]).await;
    }
}

/// Each of these deaths says the same of all that was in hand: it runs alone, and nothing is given up.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_all_processes_at_once_gives_up_no_message() {
    let mut random = Random::new("the end of all processes");
    let d = database(KEYS).await;
    let start = || (0..PROCESSES).map(|_| Worker::on(Queues::Both).start(&d)).collect::<Vec<_>>();
    let mut fleet = start();
    let load = Load::start(d.consign.clone(), KEYS, EVERY);
    for _ in 0..TREES {
        let pause = 500 + u64::try_from(random.below(1_000)).unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let ids = fleet.iter().map(|process| process.id().to_string());
        load.fault("kill", 0);
        let killed = Command::new("kill").arg("-KILL").args(ids).status();
        assert!(killed.unwrap().success());
        fleet.iter_mut().for_each(Child::kill);
        fleet = start();
        load.healed("kill", 0);
    }
    let published = load.end().await;
    drained(&d, DRAINS_WITHIN).await;
    drop(fleet);
    published.judge(&d, &["witness", "note"], &[]).await;
    let repeated = repeated(&d);
    println!("{} published, repeated: {repeated:?}", published.tasks);
    assert!(!repeated.is_empty(), "nobody was at work: no proof");
    assert!(d.number(SUSPECTS).await > 0, "nothing was in hand: no proof");
    assert_eq!(d.number(DEAD).await, 0);
}

/// What is away while a message runs alone has killed nobody: its stored attempt is given back.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_after_a_death_burns_no_attempt_of_a_suspect() {
    let d = database(1).await;
    let worker = Worker { attempts: ATTEMPTS, ..Worker::on(Queues::Witness) };
    let mut fleet = [worker.start(&d), worker.start(&d)];
    drained(&d, DRAINS_WITHIN).await;
    d.becomes("select count(distinct owner) from consign_cursor", 2).await;
    sqlx::raw_sql("alter table witnesses rename to away").execute(&d.pool).await.unwrap();
    let load = Load::start(d.consign.clone(), 1, EVERY);
    d.becomes("select count(*) > 20 from consign_log", 1).await;
    let published = load.end().await;
    let owner = "select cast(substr(w.name, 5) as integer) from consign_worker w
        join consign_cursor c on c.owner = w.id
        join key_partitions k on k.partition = c.partition";
    let owner = d.number(owner).await;
    let dies = fleet.iter_mut().find(|process| i64::from(process.id()) == owner);
    dies.expect("one of them owns it").kill();
    d.becomes("select count(*) > 0 from set_aside where suspect", 1).await;
    let second = fleet.iter_mut().find(|process| i64::from(process.id()) != owner).unwrap();
    let tries = || second.printed().matches("still away").count();
    let until = Instant::now() + DRAINS_WITHIN;
    while tries() < TRIES {
        assert!(Instant::now() < until, "{} tries", tries());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sqlx::raw_sql("alter table away rename to witnesses").execute(&d.pool).await.unwrap();
    drained(&d, DRAINS_WITHIN).await;
    second.assert_runs();
    assert_eq!(d.number(DEAD).await, 0);
    published.judge(&d, &["witness"], &[]).await;
}
