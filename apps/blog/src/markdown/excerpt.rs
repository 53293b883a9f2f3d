//! The beginning of an article, for lists.

use comrak::nodes::{Node, NodeValue};
use comrak::{Arena, parse_document};

use super::options;

/// The first words of an article as plain text; headings, code and tables are left out.
pub(crate) fn excerpt(markdown: &str, length_max: usize) -> String {
    let arena = Arena::new();
    let document = parse_document(&arena, markdown, &options());
    let mut text = String::new();
    for block in document.children().filter(|block| is_prose(block)) {
        collect_text(block, &mut text);
        if text.len() > length_max * char::MAX_LEN_UTF8 {
            break;
        }
    }
    shorten(&text, length_max)
}

fn is_prose(block: Node<'_>) -> bool {
    !matches!(
        block.data().value,
        NodeValue::Heading(_)
            | NodeValue::CodeBlock(_)
            | NodeValue::HtmlBlock(_)
            | NodeValue::Table(_)
    )
}

fn collect_text(block: Node<'_>, text: &mut String) {
    for node in block.descendants() {
        match &node.data().value {
            NodeValue::Text(words) => text.push_str(words),
            NodeValue::HtmlInline(words) => text.push_str(words),
            NodeValue::Code(code) => text.push_str(&code.literal),
            NodeValue::SoftBreak | NodeValue::LineBreak | NodeValue::Paragraph => text.push(' '),
            _ => {}
        }
    }
}

/// Cut after a word, with an ellipsis where something was left out.
fn shorten(text: &str, length_max: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((cut, _)) = text.char_indices().nth(length_max) else {
        return text;
    };
    let end = text[..cut].rfind(' ').unwrap_or(cut);
    format!("{}…", text[..end].trim_end_matches([',', '.', ';', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_the_first_prose() {
        let text =
            "# Title\n\n```\ncode\n```\n\nSome *first* `words`,\nand <b>more</b>.\n\n- one\n- two";
        assert_eq!(excerpt(text, 100), "Some first words, and <b>more</b>. one two");
        assert_eq!(excerpt(text, 18), "Some first words…");
        assert_eq!(excerpt("é".repeat(50).as_str(), 10), format!("{}…", "é".repeat(10)));
        assert_eq!(excerpt("", 10), "");
    }
}
