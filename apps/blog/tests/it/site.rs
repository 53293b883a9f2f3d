//! A blog of one's own: the real program on a free port, over a data directory that goes away.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::{Client, PASSWORD};
use crate::eventually::eventually;
use crate::process::Process;

pub(crate) const READY_WITHIN: Duration = Duration::from_mins(1);
pub(crate) const SETTLED_WITHIN: Duration = Duration::from_mins(1);

/// Where a blog lives: its data directory and its address. Processes come and go, these stay.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) listen: SocketAddr,
    started: AtomicU32,
}

impl Place {
    /// A place where nobody lives yet.
    pub(crate) fn new() -> Self {
        Self::at(free_address())
    }

    /// A place of its own at an address that somebody may have already.
    pub(crate) fn at(listen: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        Self { folder, listen, started: AtomicU32::new(0) }
    }

    /// Does not exist until the first process makes it.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("blog.db")
    }

    /// Starts `blog` with `arguments`, `--listen` and `--data`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blog"));
        command.args(arguments);
        self.spawn(command)
    }

    /// Starts `blog` where its data directory is a disk of so many bytes, which nobody else sees.
    pub(crate) fn run_on_small_disk(&self, bytes: usize) -> Process {
        std::fs::create_dir_all(self.data()).expect("a place to put the disk");
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount", "sh", "-e", "-c"])
            .arg("mount -t tmpfs -o size=$0 small \"$1\"; shift; exec \"$@\"")
            .arg(bytes.to_string())
            .arg(self.data())
            .arg(env!("CARGO_BIN_EXE_blog"));
        self.spawn(command)
    }

    /// Starts `blog`, which prints what the filter `log` lets through.
    pub(crate) fn run_with_log(&self, log: &str) -> Process {
        let mut command = Command::new("env");
        command.arg(format!("CONSIGN_LOG={log}")).arg(env!("CARGO_BIN_EXE_blog"));
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Process {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let printed = self.folder.path().join(format!("printed-{number}"));
        let stderr = File::create(&printed).expect("a file for what is printed");
        let child = command
            .args(["--listen", &self.listen.to_string()])
            .arg("--data")
            .arg(self.data())
            .env_remove("BLOG_SMTP")
            .env_remove("BLOG_URL")
            .env_remove("CONSIGN_LOG")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("the blog's program starts");
        Process::new(child, printed)
    }

    /// Somebody who is not signed in.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.listen)
    }

    /// Signs up under a name that nobody else has, and signs in.
    pub(crate) async fn author(&self) -> Author {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let name = format!("author-{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let client = self.client();
        client.sign_up(&name, PASSWORD).await.expect_status(201);
        let signed_in = client.sign_in(&name, PASSWORD).await;
        let token = signed_in.expect_status(201)["token"].as_str().expect("a token").to_owned();
        Author { name, client: client.with_token(&token), token }
    }

    /// Waits until `GET /` answers 200.
    pub(crate) async fn ready(&self) {
        let client = self.client();
        eventually("GET / answers 200", READY_WITHIN, async || {
            let answer = client.try_get("/").await?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// Waits until every effect of what was answered so far has landed; answers that audit.
    pub(crate) async fn settled(&self) -> serde_json::Value {
        let client = self.client();
        eventually("every subscription's lag is 0", SETTLED_WITHIN, async || {
            let audit = client.try_get("/api/audit").await.filter(|answer| answer.status == 200)?;
            let subscriptions = audit.body["subscriptions"].as_array().expect("a list");
            let settled = subscriptions.iter().all(|subscription| subscription["lag"] == 0);
            settled.then_some(audit.body)
        })
        .await
    }
}

/// A test that fails leaves what it found to be looked at.
impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("what the blog left is in {}", self.folder.path().display());
        }
    }
}

/// An author who is signed in.
pub(crate) struct Author {
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) client: Client,
}

impl Author {
    /// Publishes an article and answers its id.
    pub(crate) async fn publish(&self, title: &str, body: &str) -> i64 {
        let answer = self.client.publish(title, body).await;
        answer.expect_status(201)["id"].as_i64().expect("an id")
    }
}

/// The whole blog, started and ready.
pub(crate) struct Site {
    // Before the place, so that it is killed before its directory goes.
    pub(crate) process: Process,
    pub(crate) place: Place,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let place = Place::new();
        let process = place.run(&[]);
        place.ready().await;
        Self { process, place }
    }

    /// One that all tests use that do not stop or count anything; it ends with the last of them.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Site>> = Mutex::new(Weak::new());
        let site = {
            let mut shared = SHARED.lock().expect("no test fails here");
            shared.upgrade().unwrap_or_else(|| {
                let place = Place::new();
                let process = place.run(&[]);
                let site = Arc::new(Self { process, place });
                *shared = Arc::downgrade(&site);
                site
            })
        };
        site.place.ready().await;
        site
    }
}

impl std::ops::Deref for Site {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// Below the ports that the kernel gives to clients, so that none of them is in the way.
fn free_address() -> SocketAddr {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % u32::from(COUNT)).expect("it is smaller");
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + offset.wrapping_mul(31).wrapping_add(step) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
