//! What reached the disk, and when: the journal of `journal.c`, and the disk after a cut of it.

use consign_test::Random;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program of ours under the journal of `journal.c`.
pub(crate) fn keep(command: &mut Command, folder: &Path) -> PathBuf {
    let (library, journal) = (folder.join("journal.so"), folder.join("journal"));
    if !library.exists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/journal.c");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(cc.status().expect("a C compiler").success());
    }
    command.env("LD_PRELOAD", library).env("JOURNAL", &journal);
    journal
}

/// What happened, in order.
#[derive(Debug)]
enum Event {
    Written { file: usize, place: usize, bytes: std::ops::Range<usize> },
    SyncBegins { ticket: u64 },
    SyncEnded { file: usize, ticket: u64 },
}

/// In the order in which `journal.c` numbers them.
const DATABASE: usize = 0;
const WAL: usize = 1;
const ACKNOWLEDGED: usize = 2;

/// A whole journal.
pub(crate) struct Journal {
    bytes: Vec<u8>,
    events: Vec<Event>,
}

impl Journal {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut events = Vec::new();
        let mut at = 0;
        while let Some(event) = event(&bytes, &mut at) {
            events.push(event);
        }
        Self { bytes, events }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}

/// The watched files as they are, to be read while no process has them open.
pub(crate) fn files(folder: &Path) -> [Vec<u8>; 3] {
    let names = ["app.db", "app.db-wal", "acknowledged"];
    names.map(|name| std::fs::read(folder.join(name)).unwrap_or_default())
}

/// The last record of a killed program may be cut off.
fn event(bytes: &[u8], at: &mut usize) -> Option<Event> {
    let head = bytes.get(*at..*at + 24)?;
    let number = |from: usize, to: usize| {
        let mut number = [0; 8];
        number[..to - from].copy_from_slice(&head[from..to]);
        u64::from_le_bytes(number)
    };
    let (kind, file, place, length) = (number(0, 4), number(4, 8), number(8, 16), number(16, 24));
    let [file, length] = [file, length].map(|n| usize::try_from(n).unwrap());
    let content = *at + 24..*at + 24 + length;
    bytes.get(content.clone())?;
    *at = content.end;
    Some(match kind {
        0 => Event::Written { file, place: usize::try_from(place).unwrap(), bytes: content },
        1 => Event::SyncBegins { ticket: place },
        2 => Event::SyncEnded { file, ticket: place },
        _ => panic!("the journal is torn"),
    })
}

/// What is on disk at a moment of the journal.
pub(crate) struct Disk<'j> {
    journal: &'j Journal,
    files: [Vec<u8>; 3],
    /// Events whose bytes are written and not synced, of each file.
    unsynced: [Vec<usize>; 3],
    next: usize,
    /// Syncs that have begun, and at which event.
    begun: HashMap<u64, usize>,
}

/// What a disk does with what was not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unsynced {
    /// It loses all of it.
    Lost,
    /// It keeps each sector or loses it, as it likes.
    Torn,
}

const SECTOR: usize = 512;

impl<'j> Disk<'j> {
    /// The disk before anything of the journal happened.
    pub(crate) fn new(journal: &'j Journal, files: [Vec<u8>; 3]) -> Self {
        Self { journal, files, unsynced: Default::default(), next: 0, begun: HashMap::new() }
    }

    /// Lets everything happen before the event `until`.
    pub(crate) fn play(&mut self, until: usize) {
        for at in self.next..until {
            match &self.journal.events[at] {
                Event::Written { file, .. } => self.unsynced[*file].push(at),
                Event::SyncBegins { ticket } => drop(self.begun.insert(*ticket, at)),
                Event::SyncEnded { file, ticket } => {
                    let begun = self.begun.remove(ticket).expect("a sync begins before it ends");
                    self.sync(*file, begun);
                }
            }
        }
        self.next = until;
    }

    fn sync(&mut self, file: usize, begun: usize) {
        let unsynced = std::mem::take(&mut self.unsynced[file]);
        let (synced, unsynced) = unsynced.into_iter().partition::<Vec<_>, _>(|at| *at < begun);
        self.unsynced[file] = unsynced;
        for at in synced {
            let (place, bytes) = self.written(at);
            put(&mut self.files[file], place, bytes);
        }
    }

    fn written(&self, at: usize) -> (usize, &'j [u8]) {
        let journal = self.journal;
        match &journal.events[at] {
            Event::Written { place, bytes, .. } => (*place, &journal.bytes[bytes.clone()]),
            other => panic!("{other:?} writes nothing"),
        }
    }

    /// Cuts the power now: writes what the next start finds.
    pub(crate) fn cut(&self, into: &Path, unsynced: Unsynced, random: &mut Random) {
        for (file, name) in [(DATABASE, "app.db"), (WAL, "app.db-wal")] {
            let mut content = self.files[file].clone();
            if matches!(unsynced, Unsynced::Torn) {
                self.tear(file, &mut content, random);
            }
            std::fs::write(into.join(name), content).unwrap();
        }
    }

    fn tear(&self, file: usize, content: &mut Vec<u8>, random: &mut Random) {
        for at in &self.unsynced[file] {
            let (place, bytes) = self.written(*at);
            let mut from = 0;
            while from < bytes.len() {
                let to = bytes.len().min(from + SECTOR - (place + from) % SECTOR);
                if random.coin() {
                    put(content, place + from, &bytes[from..to]);
                }
                from = to;
            }
        }
    }

    /// Whether a cut now loses something of the database.
    pub(crate) fn has_unsynced(&self) -> bool {
        [DATABASE, WAL].iter().any(|file| !self.unsynced[*file].is_empty())
    }

    /// What was noted before the cut, line by line; as below.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        let written = self.unsynced[ACKNOWLEDGED].iter().map(|at| self.written(*at).1);
        written.flat_map(|bytes| std::str::from_utf8(bytes).unwrap().lines())
    }

    /// The numbers that were acknowledged before the cut, one a line: they went to somebody else,
    /// who keeps them.
    pub(crate) fn acknowledged(&self) -> Vec<i64> {
        let lines = self.unsynced[ACKNOWLEDGED].iter().map(|at| self.written(*at).1);
        lines.map(|line| std::str::from_utf8(line).unwrap().trim().parse().unwrap()).collect()
    }
}

fn put(content: &mut Vec<u8>, place: usize, bytes: &[u8]) {
    let end = place + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[place..end].copy_from_slice(bytes);
}
