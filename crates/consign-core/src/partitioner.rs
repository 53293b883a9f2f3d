//! Which partition a key belongs to: murmur2, as Kafka's Java client computes it.
//!
//! It is an on-disk contract: the messages of a key stay in one partition for ever, here and on a
//! broker that the topic may move to.

use crate::{Key, Partition};
use std::sync::atomic::{AtomicU32, Ordering};

/// The partition of a key among `partitions`.
///
/// # Panics
/// Where there are none.
pub fn partition_of(key: &Key, partitions: u16) -> Partition {
    let positive = murmur2(key.as_bytes()) & 0x7fff_ffff;
    Partition(u16::try_from(positive % u32::from(partitions)).expect("less than a u16"))
}

/// Where messages without a key go: to one partition after the other.
#[derive(Debug, Default)]
pub struct RoundRobin(AtomicU32);

impl RoundRobin {
    /// The next partition among `partitions`.
    ///
    /// # Panics
    /// Where there are none.
    pub fn next(&self, partitions: u16) -> Partition {
        let turn = self.0.fetch_add(1, Ordering::Relaxed) % u32::from(partitions);
        Partition(u16::try_from(turn).expect("less than a u16"))
    }
}

/// Austin Appleby's `MurmurHash2` with Kafka's seed
/// (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let length = u32::try_from(data.len()).expect("a key is short");
    let (words, rest) = data.as_chunks::<4>();
    let mixed = words.iter().fold(SEED ^ length, |hash, word| {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        hash.wrapping_mul(M) ^ (k ^ (k >> R)).wrapping_mul(M)
    });
    let tail = rest.iter().rev().fold(0, |tail: u32, byte| (tail << 8) | u32::from(*byte));
    let hash = if rest.is_empty() { mixed } else { (mixed ^ tail).wrapping_mul(M) };
    let hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::murmur2;

    /// The values of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn the_hash_is_the_one_of_kafkas_clients() {
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, expected) in cases {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
    }
}
