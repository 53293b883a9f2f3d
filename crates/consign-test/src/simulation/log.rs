//! The log of the one simulated topic.

use super::work::Work;
use consign_core::{Draft, Envelope, Key, MessageId, Offset, Partition, RoundRobin, partition_of};
use consign_core::{Kind, Message};
use std::time::SystemTime;
use uuid::Uuid;

/// Partitions of the topic.
pub(super) const PARTITIONS: u16 = 3;

#[derive(Debug, Default)]
pub(super) struct Log {
    partitions: [Vec<Envelope>; PARTITIONS as usize],
    without_key: RoundRobin,
}

impl Log {
    /// Appends a message; answers where it lies.
    pub(super) fn append(
        &mut self,
        work: &Work,
        kind: Kind,
        now: SystemTime,
    ) -> (Partition, Offset) {
        let key = work.key().expect("keys are short");
        let partition = match &key {
            Some(key) => partition_of(key, PARTITIONS),
            None => self.without_key.next(PARTITIONS),
        };
        let messages = &mut self.partitions[usize::from(partition.0)];
        let offset = Offset(messages.len() as u64);
        messages.push(Envelope {
            id: MessageId(Uuid::from_u128(u128::from(work.number) + 1)),
            kind: kind.name.into(),
            version: kind.version,
            key,
            published_at: now,
            headers: bytes::Bytes::new(),
            payload: work.encode().expect("numbers can be written"),
        });
        (partition, offset)
    }

    /// Appends a message that is no work of a schedule.
    pub(super) fn append_draft(&mut self, draft: Draft, now: SystemTime) {
        let partition = match &draft.key {
            Some(key) => partition_of(key, PARTITIONS),
            None => self.without_key.next(PARTITIONS),
        };
        self.partitions[usize::from(partition.0)].push(Envelope {
            id: MessageId(Uuid::now_v7()),
            kind: draft.kind.name.into(),
            version: draft.kind.version,
            key: draft.key,
            published_at: now,
            headers: draft.headers,
            payload: draft.payload,
        });
    }

    pub(super) fn end(&self, partition: Partition) -> Offset {
        Offset(self.partitions[usize::from(partition.0)].len() as u64)
    }

    pub(super) fn at(&self, partition: Partition, offset: Offset) -> Option<&Envelope> {
        let index = usize::try_from(offset.0).ok()?;
        self.partitions[usize::from(partition.0)].get(index)
    }

    pub(super) fn key(&self, partition: Partition, offset: Offset) -> Option<Key> {
        self.at(partition, offset)?.key.clone()
    }

    /// All messages, partition after partition.
    pub(super) fn all(&self) -> impl Iterator<Item = (Partition, Offset, &Envelope)> {
        let partitions = (0..PARTITIONS).map(Partition).zip(&self.partitions);
        partitions.flat_map(|(partition, messages)| {
            let offsets = (0..).map(Offset);
            offsets.zip(messages).map(move |(offset, envelope)| (partition, offset, envelope))
        })
    }
}

/// All partitions.
pub(super) fn partitions() -> impl Iterator<Item = Partition> {
    (0..PARTITIONS).map(Partition)
}
