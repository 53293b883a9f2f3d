//! A receipt as text, for a header or a cookie; docs/formats.md draws it.

use crate::{Error, Offset, PUBLISH_MESSAGES_MAX, Partition, Published, Receipt, Result, Topic};

const VERSION: u8 = 1;
/// Characters of a text that is read, at most: what a header may have.
const CHARACTERS_MAX: usize = 8 * 1024;
/// The alphabet of base64url: nothing in it is quoted in a header, a cookie or a URL.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Messages that lie one after the other.
struct Run<'a> {
    topic: &'a Topic,
    partition: Partition,
    first: u64,
    count: u64,
}

impl Receipt {
    /// Writes it as text, to be sent along and given to [`Receipt::decode`]: letters, digits, `-`
    /// and `_`.
    pub fn encode(&self) -> String {
        let (mut bytes, mut topic) = (vec![VERSION], None);
        for run in runs(self.messages()) {
            let name = if topic == Some(run.topic) { "" } else { run.topic.as_str() };
            number(&mut bytes, name.len() as u64);
            bytes.extend_from_slice(name.as_bytes());
            number(&mut bytes, u64::from(run.partition.0));
            number(&mut bytes, run.first);
            number(&mut bytes, run.count);
            topic = Some(run.topic);
        }
        base64(&bytes)
    }

    /// Reads what [`Receipt::encode`] wrote; its messages are then in the order of their places.
    ///
    /// # Errors
    /// `bad-receipt` for anything else: it may come from a stranger. It is refused, too, if it names
    /// more messages than one call of `publish_all` takes.
    pub fn decode(text: &str) -> Result<Self> {
        let bytes = bytes(text).ok_or_else(bad)?;
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(bad()) };
        let (mut rest, mut topic, mut messages) = (rest, None, Vec::new());
        while !rest.is_empty() {
            let name = take(&mut rest).and_then(|length| take_text(&mut rest, length));
            let name = name.ok_or_else(bad)?;
            if !name.is_empty() {
                topic = Some(Topic::new(name).map_err(|source| bad().caused_by(source))?);
            }
            let topic = topic.clone().ok_or_else(bad)?;
            messages.extend(take_run(&mut rest, &topic, messages.len()).ok_or_else(bad)?);
        }
        Ok(Self::new(messages))
    }
}

fn bad() -> Error {
    let message = "this is not the text of a receipt, or it was cut or changed on its way: go on \
                   without it";
    Error::new("bad-receipt", message)
}

/// Messages of one commit and partition lie one after the other, so that there are few runs.
fn runs(messages: &[Published]) -> Vec<Run<'_>> {
    let mut sorted = messages.iter().collect::<Vec<_>>();
    sorted.sort_unstable_by_key(|at| (&at.topic, at.partition, at.offset));
    let mut runs = Vec::<Run<'_>>::new();
    for Published { topic, partition, offset } in sorted {
        if let Some(run) = runs.last_mut()
            && (run.topic, run.partition, run.first + run.count) == (topic, *partition, offset.0)
        {
            run.count += 1;
        } else {
            runs.push(Run { topic, partition: *partition, first: offset.0, count: 1 });
        }
    }
    runs
}

fn take_run(
    rest: &mut &[u8],
    topic: &Topic,
    before: usize,
) -> Option<impl Iterator<Item = Published> + use<>> {
    let partition = Partition(u16::try_from(take(rest)?).ok()?);
    let (first, count) = (take(rest)?, take(rest)?);
    let room = (PUBLISH_MESSAGES_MAX - before) as u64;
    if count == 0 || count > room || i64::try_from(first.checked_add(count)?).is_err() {
        return None;
    }
    let (topic, offsets) = (topic.clone(), first..first + count);
    Some(offsets.map(move |offset| Published {
        topic: topic.clone(),
        partition,
        offset: Offset(offset),
    }))
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_text<'a>(rest: &mut &'a [u8], length: u64) -> Option<&'a str> {
    let (text, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for nth in 0..=three.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * nth) & 63) as usize]));
        }
    }
    text
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    if text.len() > CHARACTERS_MAX || text.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for letter in four {
            let six = ALPHABET.iter().position(|known| known == letter)?;
            bits = bits << 6 | u32::try_from(six).ok()?;
        }
        let bits = bits << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::Receipt;
    use crate::{Offset, Partition, Published, Topic};

    fn receipt(messages: &[(&str, u16, u64)]) -> Receipt {
        let published = messages.iter().map(|(topic, partition, offset)| Published {
            topic: Topic::new(topic).unwrap(),
            partition: Partition(*partition),
            offset: Offset(*offset),
        });
        Receipt::new(published.collect())
    }

    #[test]
    fn a_receipt_that_was_written_as_text_is_read_again() {
        let one = receipt(&[("articles", 3, 70_000)]);
        assert_eq!(one.encode(), "AQhhcnRpY2xlcwPwogQB", "it is stored in browsers: a contract");
        for messages in [
            &[][..],
            &[("articles", 0, 0)],
            &[("a", 0, 1), ("a", 0, 2), ("a", 0, 5), ("a", 255, u64::from(u32::MAX)), ("b", 1, 0)],
            &[("topic", 1, (1 << 44) - 1)],
        ] {
            let receipt = receipt(messages);
            assert_eq!(Receipt::decode(&receipt.encode()).unwrap(), receipt, "{receipt}");
        }
    }

    #[test]
    fn a_receipt_of_many_messages_is_a_short_text() {
        let many = (0..10_000).map(|n| ("articles", n % 8, u64::from(n / 8)));
        let receipt = receipt(&many.collect::<Vec<_>>());
        let text = receipt.encode();
        assert!(text.len() < 100, "{text}");
        assert_eq!(Receipt::decode(&text).unwrap().messages().len(), 10_000);
    }

    #[test]
    fn a_text_that_is_no_receipt_is_refused_whatever_it_is() {
        let text = receipt(&[("articles", 3, 70_000), ("likes", 1, 2)]).encode();
        for cut in 0..text.len() {
            let _no_panic = Receipt::decode(&text[..cut]);
        }
        let too_many = (0..=10_000).map(|n| ("likes", 1, n)).collect::<Vec<_>>();
        let (too_many, long) = (receipt(&too_many).encode(), "A".repeat(10_000));
        for bad in
            ["", "x", "AQ==", "hello, world", "Agh", &text[..text.len() - 1], &too_many, &long]
        {
            assert_eq!(Receipt::decode(bad).unwrap_err().code(), "bad-receipt", "{bad}");
        }
        for at in 0..text.len() {
            for letter in super::ALPHABET {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = *letter;
                let _no_panic = Receipt::decode(&String::from_utf8(bytes).unwrap());
            }
        }
    }
}
