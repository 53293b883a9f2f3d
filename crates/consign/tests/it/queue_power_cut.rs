//! The power goes while handlers without `Tx` work: what anybody saw finished stays finished, and
//! what is repeated had its commit under way.
//!
//! Played as in `power_cut.rs`. What handlers did went to somebody else, who keeps it.

use crate::child::{Child, Role, open};
use crate::database::{Database, TABLES, options};
use crate::journal::{self, Disk, Journal, Unsynced};
use crate::queue_judge::{Note, notes};
use crate::queue_work::{CONCURRENCY, NOTES, Queues, Task, Worker, drained, prepare};
use consign::sqlite::Consign;
use consign_test::Random;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection, query_as};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const WORKERS: usize = 2;
const KEYS: i64 = 24;
const RUN: Duration = Duration::from_secs(4);
const JOURNAL_MAX: u64 = 96 << 20;
const CUTS: usize = 60;
/// Of these so many are started again, until everything is done.
const RESTARTS: usize = 5;
/// What a process may have done and not settled: a group, and what is in its hands.
const UNSETTLED_MAX: usize = 100 + CONCURRENCY;

/// The role [`Role::PreparesQueues`].
pub(crate) async fn prepare_queues(folder: &Path) {
    let pool = SqlitePool::connect_with(options(folder)).await.unwrap();
    sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
    let consign = Consign::open(&pool).await.unwrap();
    prepare(&pool, &consign, KEYS).await;
    pool.close().await;
}

/// The role [`Role::GivesTasks`].
pub(crate) async fn give(folder: &Path) {
    let consign = open(folder).await;
    for round in 1.. {
        let tasks = (0..KEYS).map(|key| Task { number: round * KEYS + key, key });
        consign.publish_all(&tasks.collect::<Vec<_>>()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The role [`Role::WatchesMarks`]: notes what it sees finished.
pub(crate) async fn watch(folder: &Path) {
    let notes = OpenOptions::new().create(true).append(true).open(folder.join(NOTES));
    let (mut notes, mut seen) = (notes.unwrap(), BTreeSet::new());
    let mut db = SqliteConnection::connect_with(&options(folder)).await.unwrap();
    loop {
        let mut lines = Vec::new();
        for finished in finished(&mut db).await {
            if seen.insert(finished) {
                let (partition, from, to) = finished;
                writeln!(lines, "seen {partition} {from} {to}").unwrap();
            }
        }
        notes.write_all(&lines).unwrap();
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

/// Ranges of offsets that are finished: of a partition, from, to.
type Finished = (i64, i64, i64);

async fn finished(db: &mut SqliteConnection) -> Vec<Finished> {
    let select = "select partition, 0, next_offset from consign_cursor where next_offset > 0
        union all select partition, log_offset, log_offset + 1 from consign_done";
    query_as(select).fetch_all(db).await.unwrap()
}

/// What processes wrote, and what was there before.
struct Run {
    before: [Vec<u8>; 3],
    journal: Journal,
}

impl Run {
    async fn of(queues: Queues) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut maker = Child::start(Role::PreparesQueues, folder.path());
        assert!(maker.ended().success(), "{}", maker.printed());
        let before = journal::files(folder.path());
        let mut commands = vec![Child::command(Role::GivesTasks)];
        commands.push(Child::command(Role::WatchesMarks));
        commands.extend((0..WORKERS).map(|_| Worker::on(queues).command()));
        let start = |mut command: Command| {
            let written = journal::keep(&mut command, folder.path());
            (Child::run(&mut command, folder.path()), written)
        };
        let (mut children, written): (Vec<_>, Vec<_>) = commands.into_iter().map(start).unzip();
        let until = Instant::now() + RUN;
        let length = || std::fs::metadata(&written[0]).map_or(0, |metadata| metadata.len());
        while Instant::now() < until && length() < JOURNAL_MAX {
            children.iter_mut().for_each(Child::assert_runs);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(children);
        Self { before, journal: Journal::read(&written[0]) }
    }

    fn moments(&self, random: &mut Random) -> Vec<usize> {
        let mut moments =
            (0..CUTS).map(|_| random.below(self.journal.len() + 1)).collect::<Vec<_>>();
        moments.sort_unstable();
        moments
    }
}

/// What the next start finds, and what was done and seen before.
struct Found {
    d: Database,
    done: Vec<Note>,
    /// Of these nothing is on disk: somebody saw them finished.
    lost: usize,
    /// Done, and to be done again: whose, and how many.
    repeats: BTreeMap<u32, BTreeSet<i64>>,
}

async fn cut(disk: &Disk<'_>, unsynced: Unsynced, random: &mut Random) -> Found {
    let folder = tempfile::tempdir().unwrap();
    disk.cut(folder.path(), unsynced, random);
    let pool = SqlitePool::connect_with(options(folder.path())).await.unwrap();
    let consign = Consign::open(&pool).await.unwrap();
    let d = Database { pool, consign, folder };
    let (seen, done) = disk.lines().partition::<Vec<_>, _>(|line| line.starts_with("seen "));
    let done = done.into_iter().map(Note::of).collect::<Vec<_>>();
    let finished = finished(&mut d.pool.acquire().await.unwrap()).await;
    let is_finished = |(partition, from, to): Finished| {
        finished.iter().any(|one| one.0 == partition && one.1 <= from && to <= one.2)
    };
    let lost = seen.iter().filter(|line| !is_finished(range(line))).count();
    let places = places(&d).await;
    let mut repeats = BTreeMap::<_, BTreeSet<_>>::new();
    for note in &done {
        let (partition, offset) = places[&note.number];
        if !is_finished((partition, offset, offset + 1)) {
            repeats.entry(note.worker).or_default().insert(note.number);
        }
    }
    Found { d, done, lost, repeats }
}

fn range(line: &str) -> Finished {
    let mut words = line.split(' ').skip(1).map(|word| word.parse().unwrap());
    let mut next = || words.next().unwrap();
    (next(), next(), next())
}

/// Where each task lies; what was handled is on disk.
async fn places(d: &Database) -> HashMap<i64, (i64, i64)> {
    let select = "select payload ->> 'number', position >> 44, position & ((1 << 44) - 1)
        from consign_log";
    let rows = query_as::<_, (i64, i64, i64)>(select).fetch_all(&d.pool).await.unwrap();
    rows.into_iter().map(|(number, partition, offset)| (number, (partition, offset))).collect()
}

/// Processes that start again repeat exactly what was not finished, and leave nothing undone.
async fn start_again(found: &Found) {
    let d = &found.d;
    let worker = Worker::on(Queues::Note).start(d);
    drained(d, Duration::from_secs(30)).await;
    drop(worker);
    let before = found.done.iter().map(|note| note.number).collect::<BTreeSet<_>>();
    let again = notes(d).iter().map(|note| note.number).collect::<Vec<_>>();
    let repeated = again.iter().filter(|number| before.contains(number)).copied();
    let expected = found.repeats.values().flatten().copied().collect::<BTreeSet<_>>();
    assert_eq!(repeated.collect::<BTreeSet<_>>(), expected, "what is repeated");
    let all = before.into_iter().chain(again.iter().copied()).collect::<BTreeSet<_>>();
    let published = d.number("select count(*) from consign_log").await;
    assert_eq!(i64::try_from(all.len()).unwrap(), published, "each is done");
    assert_eq!(again.len(), again.iter().collect::<BTreeSet<_>>().len(), "once after the cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_repeats_only_what_had_not_been_committed() {
    let mut random = Random::new("a power cut of a queue");
    let run = Run::of(Queues::Note).await;
    let mut disk = Disk::new(&run.journal, run.before.clone());
    let (mut lossy, mut repeating, mut most, mut done) = (0, 0, 0, 0);
    for (number, moment) in run.moments(&mut random).into_iter().enumerate() {
        disk.play(moment);
        let unsynced = if random.coin() { Unsynced::Lost } else { Unsynced::Torn };
        let found = cut(&disk, unsynced, &mut random).await;
        assert_eq!(found.lost, 0, "finished for all to see, and lost");
        for (worker, repeats) in &found.repeats {
            most = most.max(repeats.len());
            assert!(repeats.len() <= UNSETTLED_MAX, "{worker} repeats {}", repeats.len());
        }
        lossy += usize::from(disk.has_unsynced());
        repeating += usize::from(!found.repeats.is_empty());
        done = found.done.len();
        if number % (CUTS / RESTARTS) == 0 {
            start_again(&found).await;
        }
    }
    println!(
        "{CUTS} cuts, {lossy} lost writes, {repeating} repeat something, {most} at most; \
         done in the end: {done}"
    );
    assert!(lossy > CUTS / 20 && repeating > 0 && done > 1_000, "no proof");
}

/// What the test above must be able to see: marks below FULL, and an effect outside.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_takes_marks_below_full_back_that_somebody_saw() {
    let mut random = Random::new("a power cut of marks below FULL");
    let run = Run::of(Queues::NoteWithTx).await;
    let mut disk = Disk::new(&run.journal, run.before.clone());
    let mut lost = 0;
    for moment in run.moments(&mut random) {
        disk.play(moment);
        lost += cut(&disk, Unsynced::Lost, &mut random).await.lost;
    }
    println!("{lost} times somebody had seen what was gone");
    assert!(lost > 0, "nothing was lost below FULL: the test above proves nothing");
}
