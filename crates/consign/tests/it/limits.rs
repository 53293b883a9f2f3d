//! Limits of a queue that hold in all processes together: messages a second, and calls at a time.

use crate::child::{Child, Role, open};
use crate::database::Database;
use consign::sqlite::Tx;
use consign::{HandlerResult, Message, Rate, State, SubscriptionState, queue};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const KEYS: i64 = 64;
const PER_SECOND: u32 = 200;
const BURST: u32 = 20;
const CALLS: usize = 3;
/// How long a call takes: it waits for somebody.
const CALL: Duration = Duration::from_millis(5);
/// A call may begin so much later than its message was taken, on a busy machine.
const LATE: f64 = 0.5;
const SOON: Duration = Duration::from_secs(30);
const OWNERS: &str = "select count(distinct owner) from consign_cursor
    where subscription = (select id from consign_subscription where name = 'few')";

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "mail.due", topic = "mails", key = key)]
struct MailDue {
    number: i64,
    key: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(kind = "call.due", topic = "calls", key = key)]
struct CallDue {
    number: i64,
    key: i64,
}

/// A file that all processes append their lines to.
#[derive(Clone, Debug)]
struct Notes(Arc<File>);

impl Notes {
    fn open(folder: &Path, name: &str) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(folder.join(name));
        Self(Arc::new(file.unwrap()))
    }

    fn note(&self, what: &str, number: i64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let line = format!("{what} {} {number} {now}\n", std::process::id());
        (&*self.0).write_all(line.as_bytes()).unwrap();
    }
}

#[derive(Clone, Debug)]
struct Desk {
    mails: Notes,
    calls: Notes,
}

async fn mail(mail: MailDue, State(desk): State<Desk>) -> HandlerResult {
    desk.mails.note("+", mail.number);
    Ok(())
}

async fn call(call: CallDue, State(desk): State<Desk>) -> HandlerResult {
    desk.calls.note("+", call.number);
    tokio::time::sleep(CALL).await;
    desk.calls.note("-", call.number);
    Ok(())
}

/// What the other processes do.
pub(crate) async fn work(folder: &Path) {
    let desk = Desk { mails: Notes::open(folder, "mails"), calls: Notes::open(folder, "calls") };
    let rate = Rate::per_second(PER_SECOND).burst(BURST);
    let workers = open(folder).await.workers().with_state(desk);
    let workers = workers
        .subscribe(queue("limited", mail).from_start().rate(rate))
        .subscribe(queue("few", call).from_start().concurrency_in_all(CALLS));
    let _running = workers.start().await.unwrap();
    std::future::pending::<()>().await;
}

/// A line of the notes.
#[derive(Clone, Copy, Debug)]
struct Line {
    begins: bool,
    process: u32,
    number: i64,
    /// Since 1970, in seconds.
    at: f64,
}

fn lines(d: &Database, name: &str) -> Vec<Line> {
    let text = std::fs::read_to_string(d.folder.path().join(name)).unwrap_or_default();
    let line = |line: &str| {
        let [what, process, number, at] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line} is no line");
        };
        let (process, number) = (process.parse().unwrap(), number.parse().unwrap());
        Line { begins: what == "+", process, number, at: at.parse::<f64>().unwrap() / 1e6 }
    };
    text.lines().map(line).collect()
}

/// Polls until `look` says so.
async fn within(what: &str, mut look: impl FnMut() -> bool) {
    let until = Instant::now() + SOON;
    while !look() {
        assert!(Instant::now() < until, "within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn start(d: &Database) -> Child {
    Child::start(Role::IsLimited, d.folder.path())
}

async fn is_explained(d: &Database, name: &str, words: &str) {
    let until = Instant::now() + SOON;
    loop {
        let all = d.consign.subscriptions().await.unwrap();
        let status = all.into_iter().find(|status| status.name == name);
        let is_so = status.as_ref().is_some_and(|status| {
            let cause = status.cause.as_deref().unwrap_or_default();
            status.state == SubscriptionState::Running && cause.contains(words)
        });
        if is_so {
            return;
        }
        assert!(Instant::now() < until, "not {words:?}: {status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_together_keep_to_a_rate_also_when_one_dies() {
    let d = Database::new().await;
    let all = (0..800).map(|number| MailDue { number, key: number % KEYS });
    d.consign.publish_all(&all.collect::<Vec<_>>()).await.unwrap();
    let mut first = start(&d);
    let others = [start(&d), start(&d)];
    within("some are handled", || lines(&d, "mails").len() > 200).await;
    is_explained(&d, "limited", "limited to 200 messages a second for ").await;
    first.kill();
    let last = start(&d);
    within("all are handled", || {
        lines(&d, "mails").iter().map(|line| line.number).collect::<BTreeSet<_>>().len() == 800
    })
    .await;
    let processes = f64::from(u32::try_from(others.len()).unwrap() + 2);
    drop((others, last));
    let mut at = lines(&d, "mails").iter().map(|line| line.at).collect::<Vec<_>>();
    at.sort_by(f64::total_cmp);
    let (rate, burst) = (f64::from(PER_SECOND), f64::from(BURST));
    for (first, from) in at.iter().enumerate() {
        for (to, count) in at[first..].iter().zip(1_u32..) {
            let most = rate * (to - from + LATE) + burst + processes;
            assert!(f64::from(count) <= most, "{count} in {} s, and not {most}", to - from);
        }
    }
    println!("{} calls in {:.1} s", at.len(), at[at.len() - 1] - at[0]);
    assert_eq!(d.number("select count(*) from consign_dead_letter").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_rate_counts_no_attempt_and_holds_no_lock() {
    async fn keep(mail: MailDue, mut tx: Tx) -> HandlerResult {
        let insert = sqlx::query("insert into kept values (?1)").bind(mail.number);
        insert.execute(&mut *tx).await?;
        Ok(())
    }
    let d = Database::new().await;
    let table = "create table kept (number integer primary key) strict";
    sqlx::raw_sql(table).execute(&d.pool).await.unwrap();
    let all = (0..100).map(|number| MailDue { number, key: number % KEYS });
    d.consign.publish_all(&all.collect::<Vec<_>>()).await.unwrap();
    let keep = queue("keeper", keep).from_start().rate(Rate::per_second(1));
    let running = d.consign.workers().subscribe(keep).start().await.unwrap();
    is_explained(&d, "keeper", "limited to 1 messages a second for ").await;
    let mut other = d.pool.acquire().await.unwrap();
    sqlx::raw_sql("pragma busy_timeout = 0").execute(&mut *other).await.unwrap();
    let mut refused = 0;
    for _ in 0..100 {
        match sqlx::raw_sql("begin immediate").execute(&mut *other).await {
            Ok(_) => drop(sqlx::raw_sql("rollback").execute(&mut *other).await.unwrap()),
            Err(_) => refused += 1,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused < 50, "the lock was held {refused} of 100 times");
    let kept = d.number("select count(*) from kept").await;
    assert!(kept < 90, "{kept} at one a second");
    running.shutdown().await.unwrap();
    assert_eq!(d.number("select count(*) from consign_retry").await, 0);
    assert_eq!(d.number("select count(*) from consign_dead_letter").await, 0);
}

/// All owners know by now who the others are: each has handled what was published after it had to
/// look.
async fn know_each_other(d: &Database, round: i64) {
    d.becomes(OWNERS, i64::try_from(CALLS).unwrap()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (first, until) = (1_000_000 * round, Instant::now() + SOON);
    let mut next = first;
    loop {
        let calls = (next..next + KEYS).map(|number| CallDue { number, key: number % KEYS });
        d.consign.publish_all(&calls.collect::<Vec<_>>()).await.unwrap();
        next += KEYS;
        within("they are handled", || ended(d, first..next) == next - first).await;
        let by = lines(d, "calls").into_iter().filter(|line| line.number >= first);
        if by.map(|line| line.process).collect::<BTreeSet<_>>().len() == CALLS {
            return;
        }
        assert!(Instant::now() < until, "not each of {CALLS} has its share");
    }
}

fn ended(d: &Database, of: std::ops::Range<i64>) -> i64 {
    let of = lines(d, "calls").into_iter().filter(|line| of.contains(&line.number));
    let ended = of.filter(|line| !line.begins).map(|line| line.number);
    i64::try_from(ended.collect::<BTreeSet<_>>().len()).unwrap()
}

/// Publishes, waits for all to be handled, and answers how many calls ran at once at most.
async fn most_at_once(d: &Database, from: i64) -> i64 {
    let calls = (from..from + 600).map(|number| CallDue { number, key: number % KEYS });
    let before = lines(d, "calls").len();
    d.consign.publish_all(&calls.collect::<Vec<_>>()).await.unwrap();
    is_explained(d, "few", "limited to 3 calls at the same time for ").await;
    within("all are handled", || ended(d, from..from + 600) == 600).await;
    let mut running = BTreeMap::<u32, i64>::new();
    let at_once = lines(d, "calls").into_iter().skip(before).map(|line| {
        *running.entry(line.process).or_default() += if line.begins { 1 } else { -1 };
        running.values().sum::<i64>()
    });
    at_once.max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_run_at_once_in_all_processes_than_were_allowed() {
    let d = Database::new().await;
    let mut fleet = (0..5).map(|_| start(&d)).collect::<Vec<_>>();
    know_each_other(&d, 1).await;
    assert_eq!(most_at_once(&d, 10_000_000).await, 3);
    // One of those that own partitions: the others take over, or who stood by does.
    let all = d.consign.subscriptions().await.unwrap();
    let few = all.into_iter().find(|status| status.name == "few").unwrap();
    assert_eq!((few.owners.len(), few.standing_by.len()), (3, 2), "{few:?}");
    let dies = fleet.iter_mut().find(|child| few.owners.contains(&child.id())).unwrap();
    dies.kill();
    know_each_other(&d, 20).await;
    assert_eq!(most_at_once(&d, 30_000_000).await, 3);
}
