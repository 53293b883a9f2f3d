//! Databases with messages that wait: published once, then copied for each run.

use crate::database::{self, by_hand, number, verify};
use crate::messages::{Renamed, Written};
use crate::part::Part;
use crate::{Result, part};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// Messages of one call of `publish_all`.
const AT_ONCE: u64 = 10_000;
/// Of the topic that few publish to.
pub(crate) const RARE: u64 = 10;

/// What is to wait.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) messages: u64,
    pub(crate) bytes: usize,
}

/// Only the ten messages of the rare topic.
pub(crate) const NOTHING: Waiting = Waiting { messages: 0, bytes: 0 };

/// To be run in a process of its own, whose end closes the database.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fill {
    pub(crate) database: PathBuf,
    pub(crate) waiting: Waiting,
}

impl Fill {
    pub(crate) async fn run(self) -> Result {
        let consign = database::open(&self.database).await?;
        let Waiting { messages, bytes } = self.waiting;
        let mut done = 0;
        while done < messages {
            let next = messages.min(done + AT_ONCE);
            let some: Vec<_> = (done..next).map(|n| Written::of_bytes(n, bytes)).collect();
            consign.publish_all(&some).await?;
            done = next;
        }
        let rare: Vec<_> = (0..RARE as i64).map(|author_id| Renamed { author_id }).collect();
        consign.publish_all(&rare).await?;
        Ok(())
    }
}

/// Adds what is to wait to a database that nobody has open.
pub(crate) fn fill(database: &Path, waiting: Waiting) -> Result {
    let fill = Fill { database: database.to_owned(), waiting };
    part::Process::start(&Part::Fill(fill), None)?.answer::<()>()?;
    let rows = "select count(*) from consign_log where kind = 'article.written'";
    let found = number(&by_hand(database, "normal")?, rows)?;
    verify("messages of the backlog", found, waiting.messages as i64)?;
    close(database)
}

/// Brings all that a database's WAL holds into the one file that [`copy`] takes.
pub(crate) fn close(database: &Path) -> Result {
    Ok(by_hand(database, "normal")?.execute_batch("pragma wal_checkpoint(truncate)")?)
}

/// Copies a database that nobody has open, and waits until the copy is on disk.
pub(crate) fn copy(from: &Path, to: &Path) -> Result {
    remove(to)?;
    fs::copy(from, to)?;
    #[expect(clippy::disallowed_methods, reason = "closed again before SQLite opens the file")]
    fs::File::open(to)?.sync_all()?;
    Ok(())
}

/// Removes a database that nobody has open, and what lies beside it.
pub(crate) fn remove(database: &Path) -> Result {
    for tail in ["", "-wal", "-shm", "-wait", "-turn"] {
        let mut path = database.as_os_str().to_owned();
        path.push(tail);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
    }
    Ok(())
}
