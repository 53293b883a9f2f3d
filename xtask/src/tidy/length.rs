//! The longest files and functions, printed for the eye: no limit is enforced.

use super::tree::{File, Tree, numbered};

/// How many of each are printed.
const SHOWN: usize = 5;

pub(super) fn print(tree: &Tree) {
    let files = tree.rust().map(|file| (file.text.lines().count(), file.path.clone()));
    print_longest("files", files.collect());
    print_longest("functions", tree.rust().flat_map(functions).collect());
}

fn print_longest(what: &str, mut named: Vec<(usize, String)>) {
    named.sort_unstable_by(|one, other| other.cmp(one));
    println!("longest {what}:");
    for (lines, name) in named.iter().take(SHOWN) {
        println!("{lines:>7} lines  {name}");
    }
}

/// Each function's length, from the line of its name to its last brace, and where it stands.
fn functions(file: &File) -> Vec<(usize, String)> {
    let code = file.code();
    let lines: Vec<&str> = code.lines().collect();
    let starts = numbered(&code).filter(|(_, line)| is_start(line));
    starts
        .filter_map(|(number, line)| {
            let length = length(&lines[number - 1..])?;
            Some((length, format!("{}:{number} {}", file.path, name(line))))
        })
        .collect()
}

fn is_start(line: &str) -> bool {
    let words = line.split_whitespace();
    let mut rest = words.skip_while(|word| {
        matches!(*word, "async" | "const" | "unsafe" | "extern") || word.starts_with("pub")
    });
    rest.next() == Some("fn")
}

fn name(line: &str) -> &str {
    let rest = line.split("fn ").nth(1).unwrap_or(line);
    rest.split(['(', '<']).next().unwrap_or(rest)
}

/// Counts lines up to the brace that closes the first one; `None` for a function without a body.
fn length(lines: &[&str]) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, line) in lines.iter().enumerate() {
        for character in line.chars() {
            match character {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                ';' if depth == 0 => return None,
                _ => continue,
            }
            if depth == 0 {
                return Some(index + 1);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn a_function_ends_at_its_own_brace() {
        assert_eq!(length(&["fn f() {", "  if x { y }", "}", "fn g() {}"]), Some(3));
    }

    #[test]
    fn a_declaration_has_no_length() {
        assert_eq!(length(&["fn f();", "fn g() {}"]), None);
    }
}
