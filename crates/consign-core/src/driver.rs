//! What connects us to one broker. The first one is the application's own database.
//!
//! Every method is `-> impl Future + Send` so that the bound is visible; an implementation simply
//! writes `async fn`.

use crate::{Changes, Envelope, Offset, Partition, Result, Topic};
use std::future::Future;

/// One broker that keeps the messages of topics in partitions.
pub trait Driver: Send + Sync + 'static {
    /// Reads the log; see [`Driver::reader`].
    type Reader: Reader;

    /// Opens a reader of `topic`. Each subscription of a process has one of its own.
    fn reader(&self, topic: &Topic) -> impl Future<Output = Result<Self::Reader>> + Send;

    /// Tells when something may have been published.
    ///
    /// May wake for nothing, must wake within a second of a commit, by whichever process.
    fn changes(&self) -> Changes;
}

pub use reader::{Page, PageRequest, Reader};

mod reader {
    use super::{Envelope, Future, Offset, Partition, Result};

    /// Reads pages of one topic.
    pub trait Reader: Send + 'static {
        /// The messages of a page, in offset order; an envelope is made when its turn comes.
        type Messages: Iterator<Item = (Offset, Envelope)> + Send;

        /// Reads the next page of each partition that is asked for, in the same order.
        ///
        /// Must answer messages in offset order, without a gap among what was committed. Is
        /// called by one task at a time.
        fn read(
            &mut self,
            requests: &[PageRequest],
        ) -> impl Future<Output = Result<Vec<Page<Self::Messages>>>> + Send;
    }

    /// What is asked of one partition.
    #[derive(Clone, Copy, Debug)]
    pub struct PageRequest {
        /// The partition.
        pub partition: Partition,
        /// The first offset that is wanted.
        pub from: Offset,
        /// Messages, at most.
        pub messages_max: usize,
        /// Bytes of payload, at most; a first message that is larger comes alone.
        pub bytes_max: usize,
    }

    /// What is read of a partition in one go.
    #[derive(Debug)]
    pub struct Page<M> {
        /// In offset order.
        pub messages: M,
        /// A bound ended the page, not the log.
        pub more: bool,
    }
}
