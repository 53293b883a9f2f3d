//! Text in which nobody sees anything.

/// Whether all of it is white space, control characters and characters that are drawn as nothing.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|character| {
        character.is_whitespace() || character.is_control() || is_drawn_as_nothing(character)
    })
}

/// Unicode's `Default_Ignorable_Code_Point`, and the empty Braille pattern.
fn is_drawn_as_nothing(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_as_nothing_is_blank() {
        for blank in
            ["", " \t\n\u{a0}\u{3000}", "\u{200b}\u{feff}", "\u{0}\u{1b}", "\u{2800} \u{3164}"]
        {
            assert!(is_blank(blank), "{blank:?}");
        }
        for seen in [".", "\u{200b}x", "\u{1f468}\u{200d}\u{1f4bb}", "\u{2801}", "ا"] {
            assert!(!is_blank(seen), "{seen:?}");
        }
    }
}
