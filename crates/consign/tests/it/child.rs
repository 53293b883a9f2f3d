//! This test program once more, as another process: one that can be killed, stopped, or watched.

use crate::database::{TABLES, likes, options};
use crate::{backfill, idle, limits, power_cut, queue_power_cut, queue_work, runtime_ends};
use consign::sqlite::Consign;
use consign::stream;
use sqlx::SqlitePool;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const ROLE: &str = "CONSIGN_TEST_ROLE";
const FOLDER: &str = "CONSIGN_TEST_FOLDER";
const ENTRY: &str = "child::a_process_plays_the_role_it_is_started_in";

/// What the other process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Publishes one message and ends.
    OneMessage,
    /// Makes the tables of the application and of consign, and ends.
    MakesTables,
    /// Opens the file with SQLite, reads, closes it, and ends.
    Looks,
    /// Counts likes until it is killed.
    CountsLikes,
    /// Publishes likes, and notes which ones were acknowledged, until it is killed.
    Publishes,
    /// Writes likes below FULL, and notes which ones were acknowledged, until it is killed.
    WritesNormal,
    /// Brings old rows in, by a sum and piece by piece, until it is killed.
    Backfills,
    /// Ends its runtime under load, again and again.
    EndsUnderLoad,
    /// Has two subscriptions, and nothing to do.
    Idles,
    /// Works on queues, until it is killed or asked to end.
    WorksOnQueues,
    /// Makes the tables of queues, and ends.
    PreparesQueues,
    /// Publishes tasks until it is killed.
    GivesTasks,
    /// Notes what it sees finished, until it is killed.
    WatchesMarks,
    /// Works on queues with limits, until it is killed.
    IsLimited,
}

const ROLES: [Role; 14] = [
    Role::OneMessage,
    Role::MakesTables,
    Role::Looks,
    Role::CountsLikes,
    Role::Publishes,
    Role::WritesNormal,
    Role::Backfills,
    Role::EndsUnderLoad,
    Role::Idles,
    Role::WorksOnQueues,
    Role::PreparesQueues,
    Role::GivesTasks,
    Role::WatchesMarks,
    Role::IsLimited,
];

impl Role {
    async fn play(self, folder: &Path) {
        match self {
            Self::OneMessage => drop(open(folder).await.publish(&liked()).await.unwrap()),
            Self::MakesTables => make_tables(folder).await,
            Self::Looks => looks(folder).await,
            Self::CountsLikes => {
                let workers = open(folder).await.workers().subscribe(stream("likes", likes()));
                let _running = workers.start().await.unwrap();
                std::future::pending::<()>().await;
            }
            Self::Publishes => power_cut::publish(folder).await,
            Self::WritesNormal => power_cut::write_normal(folder).await,
            Self::Backfills => backfill::work(folder).await,
            Self::EndsUnderLoad => runtime_ends::under_load(folder),
            Self::Idles => idle::work(folder).await,
            Self::WorksOnQueues => queue_work::work(folder).await,
            Self::PreparesQueues => queue_power_cut::prepare_queues(folder).await,
            Self::GivesTasks => queue_power_cut::give(folder).await,
            Self::WatchesMarks => queue_power_cut::watch(folder).await,
            Self::IsLimited => limits::work(folder).await,
        }
    }
}

fn liked() -> crate::database::Liked {
    crate::database::Liked { article_id: 1 }
}

/// The application's database, as a process of its own opens it.
pub(crate) async fn open(folder: &Path) -> Consign {
    let pool = SqlitePool::connect_with(options(folder)).await.unwrap();
    Consign::open(&pool).await.unwrap()
}

async fn make_tables(folder: &Path) {
    let pool = SqlitePool::connect_with(options(folder)).await.unwrap();
    sqlx::raw_sql(TABLES).execute(&pool).await.unwrap();
    Consign::open(&pool).await.unwrap();
    pool.close().await;
}

/// Also closes it: whoever believes to be the last one copies and deletes the WAL.
async fn looks(folder: &Path) {
    use sqlx::Connection;
    let mut connection = sqlx::SqliteConnection::connect_with(&options(folder)).await.unwrap();
    let select = "select count(*) from likes";
    let likes: i64 = sqlx::query_scalar(select).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    eprintln!("likes: {likes}");
}

/// A process of ours; killed when it goes out of scope.
pub(crate) struct Child {
    process: std::process::Child,
    printed: tempfile::NamedTempFile,
}

impl Child {
    pub(crate) fn start(role: Role, folder: &Path) -> Self {
        Self::run(&mut Self::command(role), folder)
    }

    pub(crate) fn command(role: Role) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("a test knows where it is"));
        command.args(["--exact", ENTRY, "--nocapture", "--test-threads=1"]);
        command.env(ROLE, format!("{role:?}"));
        command
    }

    pub(crate) fn run(command: &mut Command, folder: &Path) -> Self {
        let printed = tempfile::NamedTempFile::new().unwrap();
        let stderr = printed.reopen().unwrap();
        // It ends when its stdin does: no child outlives a test program that was killed.
        command.env(FOLDER, folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr);
        let process = command.spawn().expect("a test program starts");
        Self { process, printed }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }

    /// A signal by its name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(status.expect("`kill` is there").success(), "cannot send SIG{name}");
    }

    /// Whether it has ended, by itself or by a signal.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Waits for it to end by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end; it printed:\n{}", self.printed());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it has printed on stderr so far.
    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.printed.path()).unwrap_or_default())
            .into_owned()
    }

    /// Fails with what it printed, if it has ended by itself.
    pub(crate) fn assert_runs(&mut self) {
        if let Some(status) = self.process.try_wait().unwrap() {
            panic!("it ended, {status}; it printed:\n{}", self.printed());
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("process {} printed:\n{}", self.process.id(), self.printed());
        }
    }
}

/// Every other process of these tests comes in here.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_plays_the_role_it_is_started_in() {
    if let Ok(name) = std::env::var(ROLE) {
        let folder = PathBuf::from(std::env::var_os(FOLDER).expect("set beside the role"));
        let role = ROLES.into_iter().find(|role| format!("{role:?}") == name);
        std::thread::spawn(end_with_stdin);
        crate::said::print();
        return role.expect("a role").play(&folder).await;
    }
    let d = crate::database::Database::new().await;
    let mut child = Child::start(Role::OneMessage, d.folder.path());
    assert!(child.ended().success(), "{}", child.printed());
    assert_eq!(d.number("select count(*) from consign_log").await, 1);
}

fn end_with_stdin() {
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(1);
}
