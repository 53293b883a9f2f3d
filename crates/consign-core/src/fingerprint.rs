//! An error without its values, so that two failures can be told to be one.

/// Characters of a fingerprint, at most.
const CHARACTERS_MAX: usize = 200;

/// Takes the values out of an error's text: digits, and words that hold one, become `#`.
///
/// Two messages that fail for one reason then say the same, whatever their ids are.
///
/// ```
/// let first = consign_core::fingerprint("cannot mail article 17 (01a205b3-d000): refused");
/// assert_eq!(first, consign_core::fingerprint("cannot mail article 4 (7f3b00aa-1): refused"));
/// ```
#[must_use]
pub fn fingerprint(error: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut said = String::new();
    let mut rest = error;
    while !rest.is_empty() && said.len() < CHARACTERS_MAX {
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (before, behind) = rest.split_at(word);
        said.push_str(if before.contains(|c: char| c.is_ascii_digit()) { "#" } else { before });
        let between = behind.find(is_word).unwrap_or(behind.len());
        said.push_str(&behind[..between]);
        rest = &behind[between..];
    }
    said.chars().take(CHARACTERS_MAX).collect()
}
