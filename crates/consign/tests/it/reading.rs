//! The task that reads the log: it survives what it reads, and reads no more ahead than it may.

use crate::database::Database;
use consign::__private::Bytes;
use consign::sqlite::Tx;
use consign::{Batch, HandlerResult, Key, Kind, Message, Projection, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The message that makes its own code panic.
const BAD: i64 = 3;

#[derive(Debug)]
struct Panics(i64);

impl Message for Panics {
    const TOPIC: &'static str = "panics";
    const KINDS: &'static [Kind] = &[Kind { name: "panics", version: 1 }];

    fn kind(&self) -> Kind {
        Self::KINDS[0]
    }

    fn key(&self) -> consign::Result<Option<Key>> {
        Ok(Some(Key::new(self.0.to_string().into_bytes())?))
    }

    fn encode(&self) -> consign::Result<Bytes> {
        Ok(self.0.to_string().into_bytes().into())
    }

    fn decode(_: &str, _: u32, payload: &[u8]) -> consign::Result<Self> {
        let n = std::str::from_utf8(payload).unwrap().parse().unwrap();
        assert!(n != BAD, "an old version of another shape");
        Ok(Self(n))
    }
}

#[derive(Clone, Default)]
struct Counts(Arc<AtomicUsize>);

impl Projection<Tx> for Counts {
    type Event = Panics;

    async fn apply(&self, batch: Batch<Panics>, _: Tx) -> HandlerResult {
        self.0.fetch_add(batch.len(), Ordering::SeqCst);
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_decoding_panics_holds_up_its_partition_alone() {
    let d = Database::new().await;
    crate::said::listen();
    let counts = Counts::default();
    let panics = stream("panics-in-decode", counts.clone());
    let running = d.consign.workers().subscribe(panics).start().await.unwrap();
    d.consign.publish(&Panics(BAD)).await.unwrap();
    crate::said::line(&["panics-in-decode", "it panicked", "of another shape"]).await;
    for n in 4..24 {
        d.consign.publish(&Panics(n)).await.unwrap();
    }
    let behind = "select count(*) from consign_log where position >> 44 <> (select position >> 44
        from consign_log where payload = x'33')";
    let others = usize::try_from(d.number(behind).await).unwrap();
    assert!(others > 5, "{others} of 20 messages are in another partition");
    let until = Instant::now() + Duration::from_secs(20);
    while counts.0.load(Ordering::SeqCst) < others {
        assert!(Instant::now() < until, "{} of {others}", counts.0.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.shutdown().await.unwrap();
    assert_eq!(counts.0.load(Ordering::SeqCst), others);
}

const BYTES: usize = 200 * 1024;
static IN_MEMORY: AtomicUsize = AtomicUsize::new(0);
static AT_MOST: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug)]
struct Large(Vec<u8>);

impl Drop for Large {
    fn drop(&mut self) {
        IN_MEMORY.fetch_sub(self.0.len(), Ordering::SeqCst);
    }
}

impl Message for Large {
    const TOPIC: &'static str = "large";
    const KINDS: &'static [Kind] = &[Kind { name: "large", version: 1 }];

    fn kind(&self) -> Kind {
        Self::KINDS[0]
    }

    fn key(&self) -> consign::Result<Option<Key>> {
        Ok(None)
    }

    fn encode(&self) -> consign::Result<Bytes> {
        Ok(vec![b'x'; BYTES].into())
    }

    fn decode(_: &str, _: u32, payload: &[u8]) -> consign::Result<Self> {
        let now = IN_MEMORY.fetch_add(payload.len(), Ordering::SeqCst) + payload.len();
        AT_MOST.fetch_max(now, Ordering::SeqCst);
        Ok(Self(payload.to_vec()))
    }
}

#[derive(Clone, Default)]
struct Eats(Arc<AtomicUsize>);

impl Projection<Tx> for Eats {
    type Event = Large;

    async fn apply(&self, batch: Batch<Large>, _: Tx) -> HandlerResult {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.0.fetch_add(batch.len(), Ordering::SeqCst);
        Ok(())
    }

    async fn reset(&self, _: Tx) -> HandlerResult {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_large_messages_is_read_a_few_mebibytes_ahead_and_no_more() {
    const MESSAGES: usize = 360;
    let d = Database::new().await;
    for _ in 0..MESSAGES / 12 {
        let twelve = (0..12).map(|_| Large(Vec::new())).collect::<Vec<_>>();
        d.consign.publish_all(&twelve).await.unwrap();
    }
    let eats = Eats::default();
    let stream = stream("eats", eats.clone()).batch_max(8);
    let running = d.consign.workers().subscribe(stream).start().await.unwrap();
    let until = Instant::now() + Duration::from_mins(1);
    while eats.0.load(Ordering::SeqCst) < MESSAGES {
        assert!(Instant::now() < until, "{} of {MESSAGES}", eats.0.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.shutdown().await.unwrap();
    let (most, all) = (AT_MOST.load(Ordering::SeqCst) >> 20, (MESSAGES * BYTES) >> 20);
    assert!(all > 60 && most < 24, "{most} MiB of {all} MiB were in memory at once");
}
