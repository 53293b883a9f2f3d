//! Mails as files, where no mail server is configured: `DATA/mail/<message id>.eml`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::BoxError;

/// What a process that was killed left unfinished is cleared away after this time; nobody writes so long.
const LEFT_BEHIND: Duration = Duration::from_hours(1);
const UNFINISHED: &str = ".unfinished";

/// A folder that only this user of the machine reads; clones share it.
#[derive(Clone)]
pub(super) struct Folder(Arc<Path>);

impl Folder {
    /// Makes the folder where it is missing.
    pub(super) async fn open(data: &Path) -> Result<Self, BoxError> {
        let folder: Arc<Path> = data.join("mail").into();
        let opened = folder.clone();
        on_a_thread(move || {
            make(&opened).and_then(|()| clear(&opened)).map_err(|error| {
                let folder = opened.display();
                format!("cannot use the folder {folder} for mails: {error}: give its owner the right to write, or name a mail server with --smtp").into()
            })
        })
        .await?;
        Ok(Self(folder))
    }

    /// Writes the mail, all of it or nothing, so that neither a kill nor a power cut takes it back. One of
    /// the same id is replaced.
    pub(super) async fn store(&self, id: &str, mail: Vec<u8>) -> Result<(), BoxError> {
        let (folder, name) = (self.0.clone(), format!("{id}.eml"));
        on_a_thread(move || {
            replace(&folder, &name, &mail).map_err(|error| {
                let folder = folder.display();
                format!("cannot write a mail into {folder}: {error}: see that the disk has room and the folder can be written").into()
            })
        })
        .await
    }
}

/// Waiting for a disk must not hold up the runtime that shows that this process lives.
async fn on_a_thread(
    work: impl FnOnce() -> Result<(), BoxError> + Send + 'static,
) -> Result<(), BoxError> {
    tokio::task::spawn_blocking(work).await?
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    sync(folder.parent().unwrap_or(folder))
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in folder.read_dir()? {
        let entry = entry?;
        let unfinished = entry.path().extension().is_some_and(|end| end == &UNFINISHED[1..]);
        if unfinished && is_left_behind(&entry.path()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// One that is gone was cleared away by another mailer, and one from the future is of now.
fn is_left_behind(file: &Path) -> bool {
    let age = file.metadata().and_then(|file| file.modified()).map(|at| at.elapsed());
    matches!(age, Ok(Ok(age)) if age > LEFT_BEHIND)
}

fn remove(file: &Path) -> io::Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Two processes may write the same mail at once, so each begins a file of its own.
fn replace(folder: &Path, name: &str, mail: &[u8]) -> io::Result<()> {
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    let (process, begun) = (std::process::id(), BEGUN.fetch_add(1, Ordering::Relaxed));
    let unfinished = folder.join(format!(".{name}.{process}-{begun}{UNFINISHED}"));
    let written = write(&unfinished, mail)
        .and_then(|()| std::fs::rename(&unfinished, folder.join(name)))
        .and_then(|()| sync(folder));
    if written.is_err() {
        // What went wrong is told; that this went wrong, too, would say nothing more.
        let _ = remove(&unfinished);
    }
    written
}

#[expect(clippy::disallowed_methods, reason = "no file of SQLite's")]
fn write(file: &Path, mail: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(mail)?;
    file.sync_all()
}

/// A name that was given is on disk once its folder is.
#[expect(clippy::disallowed_methods, reason = "a folder, no file of SQLite's")]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_repeat_replaces_the_mail_and_leaves_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::open(data.path()).await.unwrap();
        for mail in ["first", "second, and longer", "3"] {
            folder.store("id", mail.into()).await.unwrap();
            let file = data.path().join("mail/id.eml");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), mail);
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(names(&data.path().join("mail")), ["id.eml"]);
    }

    #[tokio::test]
    async fn what_was_left_unfinished_is_cleared_away_later() {
        let data = tempfile::tempdir().unwrap();
        let mails = data.path().join("mail");
        std::fs::create_dir(&mails).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        for name in ["old.eml", ".old.eml.1-0.unfinished"] {
            File::create(mails.join(name)).unwrap().set_modified(long_ago).unwrap();
        }
        std::fs::write(mails.join(".new.eml.1-0.unfinished"), "x").unwrap();
        Folder::open(data.path()).await.unwrap();
        let mut left = names(&mails);
        left.sort_unstable();
        assert_eq!(left, [".new.eml.1-0.unfinished", "old.eml"]);
    }

    #[tokio::test]
    async fn a_folder_that_is_none_is_named_and_so_is_what_to_do() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("mail"), "a file").unwrap();
        let error = Folder::open(data.path()).await.err().unwrap().to_string();
        assert!(error.contains("/mail") && error.contains("--smtp"), "{error}");
    }

    #[tokio::test]
    async fn a_mail_that_cannot_be_stored_is_an_error_and_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let folder = Folder::open(data.path()).await.unwrap();
        std::fs::create_dir(data.path().join("mail/id.eml")).unwrap();
        let error = folder.store("id", "x".into()).await.err().unwrap().to_string();
        assert!(error.contains("cannot write a mail"), "{error}");
        assert_eq!(names(&data.path().join("mail")), ["id.eml"]);
    }
}
