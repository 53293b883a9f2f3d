//! The text files of the repository, as git sees them: tracked, or new and not ignored.

use std::path::Path;
use std::process::Command;

use super::source;
use crate::Result;

pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

pub(super) struct File {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let output = Command::new("git").args(arguments).current_dir(root).output()?;
        if !output.status.success() {
            let trouble = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cannot list the files of the repository: {trouble}").into());
        }
        let names = String::from_utf8(output.stdout)?;
        let files = names.split_terminator('\0').filter_map(|name| File::read(root, name));
        Ok(Self { files: files.collect() })
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.has_extension("rs"))
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl File {
    /// `None` for what is no text, and for what was deleted and not committed yet.
    fn read(root: &Path, name: &str) -> Option<Self> {
        let text = std::fs::read_to_string(root.join(name)).ok()?;
        Some(Self { path: name.to_owned(), text })
    }

    pub(super) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// The code alone: the same lines, comments and the insides of strings blanked.
    pub(super) fn code(&self) -> String {
        source::code(&self.text)
    }

    /// Written by others and kept as they wrote it.
    pub(super) fn is_foreign(&self) -> bool {
        self.path.contains("/vendor/") || self.has_extension("lock")
    }
}

/// The lines of `text` with their numbers, from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}
