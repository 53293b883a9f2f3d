//! The supervisor: a child process per worker, started again when it dies or hangs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::config::{Config, SMTP, WorkerName};
use crate::stop::Stop;

const RESTART_MIN: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(2);
/// Who lived so long did not die of its start.
const SOUND_AFTER: Duration = Duration::from_secs(5);
const SILENCE_MAX: Duration = Duration::from_millis(2_900);
const SURELY_SILENT: Duration = Duration::from_millis(100);
const DRAINED_WITHIN: Duration = Duration::from_millis(4_500);

/// The running children.
pub(crate) struct Supervisor {
    posts: JoinSet<()>,
    drain: Stop,
}

impl Supervisor {
    /// Starts as many children for each worker as it has processes, below a site that is served at
    /// `listen`. Once `stop` is asked, none is started again.
    pub(crate) fn start(
        config: &Arc<Config>,
        listen: SocketAddr,
        stop: &Stop,
    ) -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let (mut posts, drain) = (JoinSet::new(), Stop::new());
        for worker in WorkerName::ALL {
            for _ in 0..worker.processes() {
                let (program, config) = (program.clone(), config.clone());
                let (stop, drain) = (stop.clone(), drain.clone());
                posts.spawn(Post { worker, program, config, listen, stop, drain }.hold());
            }
        }
        Ok(Self { posts, drain })
    }

    /// Lets them finish what they are at, and waits until all have ended.
    pub(crate) async fn drain(self) {
        self.drain.ask();
        self.posts.join_all().await;
    }
}

/// A place that one child after the other fills.
struct Post {
    worker: WorkerName,
    program: PathBuf,
    config: Arc<Config>,
    listen: SocketAddr,
    stop: Stop,
    drain: Stop,
}

impl Post {
    async fn hold(self) {
        let mut delay = RESTART_MIN;
        while !self.stop.is_asked() {
            let started = Instant::now();
            let Some(end) = self.fill().await else { return };
            if started.elapsed() >= SOUND_AFTER {
                delay = RESTART_MIN;
            }
            let (worker, wait) = (self.worker.as_str(), delay.as_millis());
            tracing::warn!("worker {worker} {end}: starting it again in {wait} ms");
            tokio::select! {
                () = sleep(delay) => {}
                () = self.stop.asked() => {}
            }
            delay = (delay * 2).min(RESTART_MAX);
        }
    }

    /// Runs one child to its end and says how it ended; `None` where it was asked to.
    async fn fill(&self) -> Option<String> {
        let (mut child, stdin, stdout) = match self.spawn() {
            Ok(started) => started,
            Err(error) => return Some(format!("cannot be started: {error}")),
        };
        let id = child.id().unwrap_or_default();
        tokio::select! {
            ended = child.wait() => Some(match ended {
                Ok(status) => format!("(process {id}) ended, {status}"),
                Err(error) => format!("(process {id}) is lost, {error}"),
            }),
            () = silence(stdout) => {
                kill(&mut child).await;
                let seconds = (SILENCE_MAX + SURELY_SILENT).as_secs();
                Some(format!("(process {id}) showed no sign of life for {seconds} s and was killed"))
            }
            () = self.drain.asked() => {
                drop(stdin);
                self.drained(child).await;
                None
            }
        }
    }

    /// Its standard input stays open as long as this process lives and keeps it, which is how it knows.
    fn spawn(&self) -> std::io::Result<(Child, ChildStdin, ChildStdout)> {
        let mut command = Command::new(&self.program);
        command
            .args(["worker", self.worker.as_str(), "--supervised", "--data"])
            .arg(&self.config.data)
            .args(["--listen", &self.listen.to_string()]);
        if let Some(url) = &self.config.url {
            command.args(["--url", url]);
        }
        // Not as a flag, which others on the machine can read.
        command.env(SMTP, self.config.smtp().unwrap_or_default());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        // Taken out at once: `Child::wait` would close it.
        let stdin = child.stdin.take().expect("its standard input is a pipe");
        let stdout = child.stdout.take().expect("its standard output is a pipe");
        Ok((child, stdin, stdout))
    }

    async fn drained(&self, mut child: Child) {
        if timeout(DRAINED_WITHIN, child.wait()).await.is_err() {
            let worker = self.worker.as_str();
            tracing::warn!("worker {worker} did not drain in time and is killed");
            kill(&mut child).await;
        }
    }
}

/// Resolves once nothing was heard for too long.
async fn silence(mut stdout: ChildStdout) {
    let mut signs = [0; 64];
    loop {
        let heard = match timeout(SILENCE_MAX, stdout.read(&mut signs)).await {
            Ok(heard) => heard,
            // If this process was stopped itself, the time is up although signs have come.
            Err(_) => match timeout(SURELY_SILENT, stdout.read(&mut signs)).await {
                Ok(heard) => heard,
                Err(_) => return,
            },
        };
        if !matches!(heard, Ok(1..)) {
            // It closed its output, so it ends or has ended; if it does neither, silence it is.
            sleep(SILENCE_MAX).await;
            return;
        }
    }
}

async fn kill(child: &mut Child) {
    if let Err(error) = child.kill().await {
        tracing::warn!(%error, "a worker cannot be killed");
    }
}
