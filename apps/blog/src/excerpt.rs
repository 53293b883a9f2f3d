//! A piece of an article around what was found, escaped and marked.
//!
//! FTS5's own `snippet` looks at every pair of hits: one article that holds a word thirty thousand
//! times made each search for it last eight seconds.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Characters of an article that are looked at; the excerpt is its beginning if no hit is among them.
pub(crate) const LOOKED_AT_MAX: u32 = 8_192;
const WORDS: usize = 28;
const WORDS_BEFORE: usize = 8;
/// Of text without a space.
const BYTES_MAX: usize = 480;

/// The words of a question, as they are compared.
pub(crate) fn folded_words(question: &str) -> BTreeSet<String> {
    words(question).map(|(start, end)| folded(&question[start..end])).collect()
}

/// HTML: the text around the first hit, each hit in a `<mark>`.
pub(crate) fn excerpt(text: &str, wanted: &BTreeSet<String>) -> String {
    let is_hit = |(start, end): &(usize, usize)| wanted.contains(&folded(&text[*start..*end]));
    let all = words(text).collect::<Vec<_>>();
    let first_hit = all.iter().position(is_hit).unwrap_or_default();
    let first = first_hit.saturating_sub(WORDS_BEFORE);
    let shown = &all[first..all.len().min(first + WORDS)];
    let begins = if first == 0 { 0 } else { shown[0].0 };
    let ends = if first + WORDS < all.len() { shown[shown.len() - 1].1 } else { text.len() };
    let ends = text.floor_char_boundary(ends.min(begins + BYTES_MAX));
    let mut html = String::from(if begins > 0 { "…" } else { "" });
    let mut at = begins;
    for word in shown.iter().filter(|word| word.1 <= ends && is_hit(word)) {
        escape(&mut html, &text[at..word.0]);
        html.push_str("<mark>");
        escape(&mut html, &text[word.0..word.1]);
        html.push_str("</mark>");
        at = word.1;
    }
    escape(&mut html, &text[at..ends]);
    html.push_str(if ends < text.len() { "…" } else { "" });
    html
}

/// A text as it is compared, in any script: case and accents do not matter.
pub(crate) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let marks_dropped = text.nfd().filter(|character| !is_combining_mark(*character));
    marks_dropped.flat_map(char::to_lowercase).collect::<String>().replace('ß', "ss")
}

/// Where each word begins and ends.
fn words(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let is_part = |character: char| character.is_alphanumeric() || is_combining_mark(character);
    let mut rest = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = rest.find(|(_, character)| is_part(*character))?;
        let mut end = start + first.len_utf8();
        while let Some((at, character)) = rest.next_if(|(_, character)| is_part(*character)) {
            end = at + character.len_utf8();
        }
        Some((start, end))
    })
}

/// What an author wrote never becomes an element.
fn escape(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '"' | '\'' => {
                let _ = write!(html, "&#{};", u32::from(character));
            }
            _ => html.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, question: &str, expected: &str) {
        assert_eq!(excerpt(text, &folded_words(question)), expected, "{question:?} in {text:?}");
    }

    #[test]
    fn an_excerpt_is_escaped_and_its_hits_are_marked() {
        check("a b c", "b", "a <mark>b</mark> c");
        check("<b>x</b>&", "x", "&#60;b&#62;<mark>x</mark>&#60;/b&#62;&#38;");
        check("Le Café", "cafe", "Le <mark>Café</mark>");
        check("Straße STRASSE", "strasse", "<mark>Straße</mark> <mark>STRASSE</mark>");
        check("Αθήνα ёлка", "ΑΘΗΝΑ елка", "<mark>Αθήνα</mark> <mark>ёлка</mark>");
        check("", "x", "");
        check("\u{301}", "x", "\u{301}");
    }

    #[test]
    fn an_excerpt_is_short_and_stands_around_the_first_hit() {
        let long = "word ".repeat(1_000) + "needle " + &"word ".repeat(1_000);
        let found = excerpt(&long, &folded_words("needle"));
        assert!(found.starts_with("…word") && found.ends_with("word…"), "{found}");
        assert!(found.contains("<mark>needle</mark>") && found.len() < 300, "{found}");
        let wide = "ö".repeat(10_000);
        assert!(excerpt(&wide, &folded_words("x")).len() < 500);
    }
}
