//! Every bound of a message, in one place. They are checked before anything is written.

/// Bytes of a message's key, at most.
pub const KEY_BYTES_MAX: usize = 255;
/// Bytes of a message's headers, names and values and what separates them, at most.
pub const HEADERS_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a message's payload, at most: events carry ids, not copies.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Characters of the name of a topic, a kind or a subscription, at most.
pub const NAME_CHARACTERS_MAX: usize = 63;
/// Partitions of a topic, at most.
pub const PARTITIONS_MAX: u16 = 256;
/// Messages that one call of `publish_all` takes, at most.
pub const PUBLISH_MESSAGES_MAX: usize = 10_000;
/// Bytes of the place where a backfill goes on, at most.
pub const RESUME_BYTES_MAX: usize = 4 * 1024;
