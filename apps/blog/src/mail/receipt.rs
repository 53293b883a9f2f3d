//! The text of a receipt, as RFC 5322 has it.

use std::time::{Duration, SystemTime};

use lettre::message::header::{self, ContentTransferEncoding, ContentType};
use lettre::message::{Body, Mailbox, SinglePart};
use lettre::{Address, Message};

use crate::BoxError;
use crate::moment::Moment;

const FROM: &str = "blog";
/// Accounts have a name and no address: mails go to that name on this machine.
const DOMAIN: &str = "localhost";
/// What stands behind the `@` of a Message-ID.
const ID_DOMAIN: &str = "blog.localhost";

/// RFC 5322's bound.
const LINE_BYTES_MAX: usize = 998;

/// What an author is told about an article of their own.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    /// The message id of the event; the same each time that it is handled.
    pub(super) id: String,
    pub(super) author: String,
    pub(super) title: String,
    pub(super) link: String,
    pub(super) published_at: Moment,
}

impl Receipt {
    pub(super) fn compose(&self) -> Result<Message, BoxError> {
        let title = one_line(&self.title);
        let subject = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let part = SinglePart::builder()
            .header(ContentType::TEXT_PLAIN)
            .body(as_it_stands(&self.text(&title))?);
        let mail = Message::builder()
            .from(mailbox(FROM)?)
            .to(mailbox(&self.author)?)
            .date(self.date())
            .message_id(Some(format!("<{}@{ID_DOMAIN}>", self.id)))
            .header(header::Subject::from(format!("Published: {subject}")))
            .singlepart(part);
        Ok(mail.map_err(|error| format!("cannot write the receipt: {error}"))?)
    }

    /// What an author chose stands behind two blanks, so that no line of it begins with `From ` or is
    /// a lone dot, which would mean something to programs that keep or pass on mails.
    fn text(&self, title: &str) -> String {
        let Self { author, link, .. } = self;
        format!(
            "Hello {author},\n\nyour article is published:\n\n  {title}\n  {link}\n\n\
             The count and the search know it by now, or will in a moment."
        )
    }

    /// The article's, not the mail's own: a repeat is the same, byte for byte.
    fn date(&self) -> SystemTime {
        let seconds = u64::try_from(self.published_at.utc().unix_timestamp()).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

/// So that a title can be searched for in a file. lettre itself would encode a line over 76 bytes.
fn as_it_stands(text: &str) -> Result<Body, BoxError> {
    if text.lines().any(|line| line.len() > LINE_BYTES_MAX) {
        return Err(format!(
            "cannot write the receipt: a line has more than {LINE_BYTES_MAX} bytes: name a shorter --url"
        )
        .into());
    }
    let text = text.replace('\n', "\r\n").into_bytes();
    Ok(Body::dangerous_pre_encoded(text, ContentTransferEncoding::EightBit))
}

fn mailbox(name: &str) -> Result<Mailbox, BoxError> {
    let address = Address::new(name, DOMAIN);
    let address = address.map_err(|error| format!("cannot write to {name}@{DOMAIN}: {error}"))?;
    Ok(Mailbox::new(None, address))
}

/// A title's line breaks and other control characters have no business in a mail; all else stands as
/// it was written.
fn one_line(title: &str) -> String {
    let steers = |character: char| character.is_control() && character != '\t';
    title.replace(steers, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of the head, unfolded, and the text.
    fn mail(author: &str, title: &str) -> (Vec<String>, String) {
        let receipt = Receipt {
            id: "01a205b3-d000-7000-8000-000000000000".to_owned(),
            author: author.to_owned(),
            title: title.to_owned(),
            link: "http://127.0.0.1:8080/articles/7".to_owned(),
            published_at: Moment::from_milliseconds(1_792_000_000_000),
        };
        let mail = String::from_utf8(receipt.compose().unwrap().formatted()).unwrap();
        assert!(mail.lines().all(|line| line.len() <= 998), "{mail}");
        let (head, text) = mail.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ");
        (head.split("\r\n").map(str::to_owned).collect(), text.to_owned())
    }

    #[test]
    fn a_receipt_says_what_was_published_and_where() {
        let (mut head, text) = mail("ada", "On looms");
        head.sort_unstable();
        assert_eq!(
            head,
            [
                "Content-Transfer-Encoding: 8bit",
                "Content-Type: text/plain; charset=utf-8",
                "Date: Wed, 14 Oct 2026 17:46:40 +0000",
                "From: blog@localhost",
                "MIME-Version: 1.0",
                "Message-ID: <01a205b3-d000-7000-8000-000000000000@blog.localhost>",
                "Subject: Published: On looms",
                "To: ada@localhost",
            ]
        );
        assert!(
            text.contains("\r\n  On looms\r\n  http://127.0.0.1:8080/articles/7\r\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_in_a_title_steers_the_mail() {
        let long = "\u{1f9f6}".repeat(200);
        for title in [
            "x\r\nBcc: everybody@example.org",
            "x\nBcc: everybody@example.org\n\nAnother text",
            "x\rBcc: everybody@example.org",
            "\r\n.\r\nMAIL FROM:<a@example.org>",
            ".",
            "From somebody Thu Jan  1 00:00:00 1970",
            "\u{0}\u{1b}[2J\u{7f}\u{85}",
            "\"quoted\" <b@example.org>, \\ and ; too",
            "=?utf-8?q?=0D=0ABcc:_everybody@example.org?=",
            "\u{1f9f6} wool \u{202e}loow",
            " \t Many   blanks \u{a0} ",
            &"x".repeat(200),
            &long,
        ] {
            let (head, text) = mail("ada", title);
            let names: Vec<&str> =
                head.iter().map(|line| line.split(':').next().unwrap()).collect();
            assert_eq!(head.len(), 8, "{title:?}: {head:?}");
            assert!(!names.contains(&"Bcc"), "{title:?}: {head:?}");
            let odd = |c: char| c.is_control() && !"\r\n\t".contains(c);
            assert!(!text.contains(odd) && !text.replace("\r\n", "").contains(['\r', '\n']));
            assert_eq!(text.lines().count(), 8, "{text}");
            assert!(!text.lines().any(|line| line == "." || line.starts_with("From ")), "{text}");
            if !title.contains(char::is_control) || title.contains('\t') {
                assert!(text.contains(title), "{text:?} holds it as it was written");
            }
        }
    }

    #[test]
    fn every_name_that_there_can_be_has_an_address() {
        for name in ["-a-", "___", "a--b", "0-0", &"w".repeat(32)] {
            assert!(mail(name, "x").0.contains(&format!("To: {name}@localhost")));
        }
    }

    #[test]
    fn a_repeat_is_the_same_byte_for_byte() {
        assert_eq!(mail("ada", "Twice"), mail("ada", "Twice"));
    }
}
