//! `docs/guarantees.md` names, for each promise, the test that tries to break it: that test exists.

use super::Problem;
use super::tree::{Tree, numbered};

const PAGE: &str = "docs/guarantees.md";

/// A name of a test is a sentence; shorter ones are columns, fields and functions.
const WORDS_OF_A_TEST_MIN: usize = 4;

pub(super) fn problems(tree: &Tree) -> Vec<Problem> {
    let Some(page) = tree.get(PAGE) else { return Vec::new() };
    let named =
        numbered(&page.text).flat_map(|(line, text)| tests(text).map(move |test| (line, test)));
    let missing = named.filter(|(_, test)| !exists(tree, test));
    missing
        .map(|(line, test)| Problem::new(PAGE, line, format!("no test is called {test}")))
        .collect()
}

/// The names in backticks that read like a test's.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let names = quoted.map(|name| name.rsplit("::").next().unwrap_or(name));
    names.filter(|name| {
        name.split('_').count() >= WORDS_OF_A_TEST_MIN
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    })
}

fn exists(tree: &Tree, test: &str) -> bool {
    let declaration = format!("fn {test}(");
    tree.rust().any(|file| file.text.contains(&declaration))
}

#[cfg(test)]
mod tests {
    use super::tests;

    #[test]
    fn only_sentences_in_backticks_are_tests() {
        let line =
            "| lost | `crash::no_accepted_message_is_lost`, see `author_id` and `consign.begin` |";
        assert_eq!(tests(line).collect::<Vec<_>>(), ["no_accepted_message_is_lost"]);
    }
}
