//! Started processes and their children, signals, and what they print.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use crate::eventually::eventually;

/// A started process; killed when it goes out of scope.
pub(crate) struct Process {
    child: Child,
    printed: PathBuf,
}

impl Process {
    /// `printed` is the file that its stderr goes to.
    pub(crate) fn new(child: Child, printed: PathBuf) -> Self {
        Self { child, printed }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end, as a supervisor would.
    pub(crate) fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().expect("a child of ours");
    }

    /// Sends SIGTERM, SIGINT, SIGSTOP … by the name without SIG.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    /// Waits for it to end by itself.
    pub(crate) async fn ended(&mut self, within: Duration) -> ExitStatus {
        let printed = self.printed.clone();
        let what = move || format!("the process ends; it printed:\n{}", read(&printed));
        let child = &mut self.child;
        let ended = tokio::time::timeout(within, async {
            loop {
                if let Some(status) = child.try_wait().expect("a child of ours") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        ended.await.unwrap_or_else(|_| panic!("within {within:?}: {}", what()))
    }

    /// A path as this process sees it, which may have disks of its own.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.id())).join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What it and its children have printed on stderr so far.
    pub(crate) fn printed(&self) -> String {
        read(&self.printed)
    }

    /// The ids of its direct children that have `argument` in their command line.
    pub(crate) fn children(&self, argument: &str) -> Vec<u32> {
        children(self.id())
            .into_iter()
            .filter(|id| command_line(*id).iter().any(|word| word == argument))
            .collect()
    }

    /// Waits until it has a child with that argument, other than those in `before`.
    pub(crate) async fn child(&self, argument: &str, before: &[u32]) -> u32 {
        let what = format!("a process {argument} is there");
        eventually(&what, Duration::from_secs(10), async || {
            self.children(argument).into_iter().find(|id| !before.contains(id))
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("process {} printed:\n{}", self.id(), self.printed());
        }
    }
}

/// Sends a signal by its name without SIG.
pub(crate) fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(status.expect("`kill` is there").success(), "cannot send SIG{name} to {process}");
}

/// Whether there is such a process, zombies not counted.
pub(crate) fn is_alive(process: u32) -> bool {
    stat(process).is_some_and(|stat| stat.state != 'Z')
}

/// The ids of a process's direct children.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let folders = std::fs::read_dir("/proc").expect("Linux").flatten();
    let ids = folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok());
    ids.filter(|id| stat(*id).is_some_and(|stat| stat.parent == parent && stat.state != 'Z'))
        .collect()
}

struct Stat {
    state: char,
    parent: u32,
}

fn stat(process: u32) -> Option<Stat> {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name stands before, in parentheses, and may hold anything.
    let mut words = line[line.rfind(')')? + 1..].split_whitespace();
    let state = words.next()?.chars().next()?;
    Some(Stat { state, parent: words.next()?.parse().ok()? })
}

fn command_line(process: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
}
