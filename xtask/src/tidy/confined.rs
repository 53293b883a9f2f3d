//! Words that belong to a few files: `unsafe`, opening files, databases, tasks.

use super::Problem;
use super::tree::{File, Tree, numbered};

/// Words that stand in the code of `within`, if anywhere, only in `places`.
struct Rule {
    within: &'static [&'static str],
    words: &'static [&'static str],
    /// Files or folders without `.rs`.
    places: &'static [&'static str],
    reason: &'static str,
}

const RULES: [Rule; 5] = [
    Rule {
        within: &["crates/", "apps/", "xtask/"],
        words: &["unsafe"],
        places: &[
            "crates/consign-sql/src/sqlite/gate",
            "crates/consign-sql/src/sqlite/inside",
            "crates/consign-sql/src/sqlite/thread",
        ],
        reason: "unsafe code stands in gate.rs, inside.rs and thread.rs of consign-sql alone",
    },
    Rule {
        within: LIBRARIES,
        words: &[
            "File::open",
            "File::create",
            "OpenOptions",
            "fs::read",
            "fs::read_to_string",
            "fs::write",
            "fs::copy",
            "tokio::fs",
        ],
        places: LOCK_FILES_AND_WAL,
        reason: "closing a file that SQLite has locked drops its locks; files are opened in few places",
    },
    Rule {
        within: &["crates/consign-core/src/", "crates/consign-worker/src/"],
        words: &["sqlx", "sqlite", "rusqlite", "postgres", "rabbitmq", "kafka", "kinesis", "sqs"],
        places: &[],
        reason: "core and worker name no database and no broker",
    },
    Rule {
        within: &["crates/consign-core/src/"],
        words: &[
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::env",
            "tokio::spawn",
            "tokio::time",
            "tokio::net",
        ],
        places: &[],
        reason: "core does no I/O and starts no task",
    },
    Rule {
        within: LIBRARIES,
        words: &["std::env", "env::var"],
        places: &[],
        reason: "a library reads nothing from the environment",
    },
];

/// Files that only we lock, and the WAL to sync it: SQLite locks the database and its `-shm`, never the WAL.
const LOCK_FILES_AND_WAL: &[&str] = &[
    "crates/consign-sql/src/sqlite/gate",
    "crates/consign-sql/src/liveness",
    "crates/consign-sql/src/writer",
];

/// What users link into their own services.
const LIBRARIES: &[&str] = &[
    "crates/consign/src/",
    "crates/consign-core/src/",
    "crates/consign-sql/src/",
    "crates/consign-worker/src/",
];

pub(super) fn problems(tree: &Tree) -> Vec<Problem> {
    let pairs = tree.rust().flat_map(|file| RULES.iter().map(move |rule| (file, rule)));
    pairs
        .filter(|(file, rule)| rule.covers(file))
        .flat_map(|(file, rule)| rule.problems(file))
        .collect()
}

impl Rule {
    fn covers(&self, file: &File) -> bool {
        let within = self.within.iter().any(|start| file.path.starts_with(start));
        within && !self.places.iter().any(|place| is_place(&file.path, place))
    }

    fn problems(&self, file: &File) -> Vec<Problem> {
        let code = file.code();
        let found = numbered(&code).filter_map(|(number, line)| {
            let word = self.words.iter().find(|word| has_word(line, word))?;
            Some(Problem::new(&file.path, number, format!("`{word}`: {}", self.reason)))
        });
        found.collect()
    }
}

fn is_place(path: &str, place: &str) -> bool {
    let rest = path.strip_prefix(place);
    rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Whether `word` stands in `line` by itself: not as a part of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let in_name = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let is_raw_name = line[..at].ends_with("r#");
        !before.is_some_and(in_name) && !after.is_some_and(in_name) && !is_raw_name
    })
}

#[cfg(test)]
mod tests {
    use super::{has_word, is_place};

    #[test]
    fn a_word_inside_a_longer_name_is_not_found() {
        assert!(has_word("    unsafe { call() }", "unsafe"));
        assert!(!has_word("#[expect(unsafe_code)]", "unsafe"));
        assert!(!has_word("options.r#unsafe = true", "unsafe"));
        assert!(!has_word("fs::read_dir(path)", "fs::read"));
    }

    #[test]
    fn a_place_is_a_file_or_a_folder() {
        assert!(is_place("sqlite/gate.rs", "sqlite/gate"));
        assert!(is_place("sqlite/gate/line.rs", "sqlite/gate"));
        assert!(!is_place("sqlite/gateway.rs", "sqlite/gate"));
    }
}
