//! Rust source without its comments and the insides of its strings, line by line as it was.

/// Blanks comments and literals, so that a search finds code alone.
pub(super) fn code(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest, code.chars().next_back());
        if length == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

/// How many bytes of `rest` are a comment or a literal; 0 where code goes on.
fn blank_length(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        rest.find('\n').unwrap_or(rest.len())
    } else if rest.starts_with("/*") {
        block_comment_length(rest)
    } else if rest.starts_with('"') {
        string_length(rest)
    } else if rest.starts_with('\'') {
        character_length(rest)
    } else if !in_word && (rest.starts_with('r') || rest.starts_with("br")) {
        raw_string_length(rest)
    } else {
        0
    }
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character, not a lifetime: `'a'` and `'\n'`, but not `'a`.
fn character_length(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match characters.next() {
        Some((_, '\\')) => rest[3.min(rest.len())..].find('\'').map_or(0, |at| at + 4),
        Some(_) => characters.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

fn raw_string_length(rest: &str) -> usize {
    let after = rest.trim_start_matches('b').strip_prefix('r').unwrap_or(rest);
    let hashes = after.len() - after.trim_start_matches('#').len();
    if !after[hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = rest.len() - after.len() + hashes + 1;
    rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::code;

    fn words(text: &str) -> Vec<String> {
        code(text).split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn comments_are_blanked_and_lines_are_kept() {
        let text = "one // two\n/* three /* four */ five\n*/ six";
        assert_eq!(words(text), ["one", "six"]);
        assert_eq!(code(text).lines().count(), 3);
    }

    #[test]
    fn strings_and_characters_are_blanked() {
        assert_eq!(words(r#"a "b \" c" d '"' e '\'' f"#), ["a", "d", "e", "f"]);
        assert_eq!(words(r##"a r#"b " c"# d br"e" f"##), ["a", "d", "f"]);
    }

    #[test]
    fn lifetimes_and_words_that_end_like_a_raw_string_stay() {
        assert_eq!(words("fn f<'a>(x: &'a str) var"), ["fn", "f<'a>(x:", "&'a", "str)", "var"]);
    }
}
