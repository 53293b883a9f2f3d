//! The messages of the suite, and reading them.

use super::report::Broken;
use super::subject::Subject;
use bytes::Bytes;
use consign_core::{
    Draft, Driver, Envelope, Key, Kind, Message, Offset, PageRequest, Partition, Reader, Result,
};

/// What the suite publishes.
pub(super) const PROBE: Kind = Kind { name: "conformance.probe", version: 3 };
/// Pages that are read, at most.
const PAGES_MAX: usize = 10_000;

/// A message, by its number.
#[derive(Debug)]
pub(super) struct Probe {
    number: u64,
    key: Option<&'static str>,
}

impl Message for Probe {
    const TOPIC: &'static str = "conformance";
    const KINDS: &'static [Kind] = &[PROBE];

    fn kind(&self) -> Kind {
        PROBE
    }

    fn key(&self) -> Result<Option<Key>> {
        self.key.map(Key::new).transpose()
    }

    fn encode(&self) -> Result<Bytes> {
        Ok(self.number.to_be_bytes().to_vec().into())
    }

    fn decode(_: &str, _: u32, payload: &[u8]) -> Result<Self> {
        Ok(Self { number: number_of(payload), key: None })
    }
}

fn number_of(payload: &[u8]) -> u64 {
    payload.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A message that was read.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) envelope: Envelope,
}

impl Found {
    pub(super) fn number(&self) -> u64 {
        number_of(&self.envelope.payload)
    }

    /// Where a cursor stands that has passed it.
    pub(super) fn after(&self) -> Offset {
        Offset(self.offset.0 + 1)
    }
}

/// A message to be published.
pub(super) fn draft<S: Subject>(s: &S, number: u64, key: Option<&'static str>) -> Result<Draft> {
    Ok(Draft { topic: s.topic(), ..Draft::new(&Probe { number, key })? })
}

/// Publishes messages of these numbers.
pub(super) async fn publish<S: Subject>(
    s: &S,
    numbers: std::ops::Range<u64>,
    key: Option<&'static str>,
) -> Result {
    let drafts = numbers.map(|number| draft(s, number, key)).collect::<Result<Vec<_>>>()?;
    s.publish(drafts, true).await
}

/// Publishes messages of one key, and answers them as they lie in their one partition.
pub(super) async fn publish_and_find<S: Subject>(s: &S, count: u64) -> Result<Vec<Found>, Broken> {
    publish(s, 0..count, Some("a")).await?;
    let (_ledger, driver) = s.process().await;
    let found = read_all(s, &driver, 100).await?;
    if found.len() as u64 != count {
        return Err(Broken::new(format!("{} of {count} messages are read", found.len())));
    }
    Ok(found)
}

/// Reads each partition from its start to its end, in pages of so many messages.
pub(super) async fn read_all<S: Subject>(
    s: &S,
    driver: &S::Driver,
    messages_max: usize,
) -> Result<Vec<Found>, Broken> {
    let mut reader = driver.reader(&s.topic()).await?;
    let mut all = Vec::new();
    for partition in (0..s.partitions()).map(Partition) {
        read_from(&mut reader, (partition, Offset(0)), messages_max, &mut all).await?;
    }
    Ok(all)
}

/// Reads a partition from an offset to its end.
pub(super) async fn read_from(
    reader: &mut impl Reader,
    (partition, mut from): (Partition, Offset),
    messages_max: usize,
    all: &mut Vec<Found>,
) -> Result<(), Broken> {
    for _ in 0..PAGES_MAX {
        let request = PageRequest { partition, from, messages_max, bytes_max: 1 << 20 };
        let page = reader.read(&[request]).await?.pop();
        let page = page.ok_or_else(|| Broken::new("a page that was asked for is missing"))?;
        let more = page.more;
        for (offset, envelope) in page.messages {
            all.push(Found { partition, offset, envelope });
            from = Offset(offset.0 + 1);
        }
        if !more {
            return Ok(());
        }
    }
    Err(Broken::new("a partition has no end"))
}
