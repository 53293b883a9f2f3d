//! One worker process of the suite's one subscription.

use super::probe::{PROBE, Probe};
use super::report::Broken;
use super::subject::Subject;
use consign_core::{
    Advance, Epoch, Ledger, Message, NewSubscription, Offset, Owned, Partition, Progress, Purpose,
    QueueLedger, Reads, Result, Settle, Settled, SubscriptionId, SubscriptionName,
};

/// A process that has joined.
pub(super) struct Worker<S: Subject> {
    pub(super) ledger: S::Ledger,
    pub(super) of: SubscriptionId,
    pub(super) owned: Vec<Owned>,
    partitions: Vec<Partition>,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit,
    RollBack,
    /// Nobody ends it: it is dropped.
    Drop,
}

impl<S: Subject> Worker<S> {
    /// Joins, and owns nothing yet; the first one places the cursors at the start.
    pub(super) async fn join(s: &S, reads: Reads) -> Result<Self, Broken> {
        let (ledger, _) = s.process().await;
        let of = ledger.subscribe(&subscription(s, reads)?).await?;
        ledger.join(&[of]).await?;
        let mut tx = ledger.begin(of).await?;
        if ledger.progress(&mut tx, of).await? == Progress::New {
            ledger.place(&mut tx, of, &[], &Progress::Running).await?;
            ledger.commit(tx).await?;
        } else {
            ledger.rollback(tx).await;
        }
        let partitions = (0..s.partitions()).map(Partition).collect();
        Ok(Self { ledger, of, owned: Vec::new(), partitions })
    }

    /// Joins, and takes all partitions that are free.
    pub(super) async fn start(s: &S, reads: Reads) -> Result<Self, Broken> {
        let mut worker = Self::join(s, reads).await?;
        worker.take().await?;
        Ok(worker)
    }

    pub(super) async fn take(&mut self) -> Result<(), Broken> {
        self.owned = self.ledger.take(self.of, &self.partitions).await?;
        Ok(())
    }

    pub(super) async fn release(&self) -> Result<(), Broken> {
        Ok(self.ledger.release(self.of, &self.partitions).await?)
    }

    /// Its ownership of a partition.
    pub(super) fn at(&self, partition: Partition) -> Result<Owned, Broken> {
        let owned = self.owned.iter().find(|owned| owned.partition == partition);
        owned.copied().ok_or_else(|| Broken::new(format!("partition {partition} was not taken")))
    }

    /// A cursor's move over so many messages.
    pub(super) fn advance(&self, owned: Owned, to: Offset, messages: u64) -> Advance {
        Advance {
            subscription: self.of,
            partition: owned.partition,
            epoch: owned.epoch,
            from: owned.cursor,
            to,
            messages,
            skipped: Vec::new(),
        }
    }

    /// Settles beside an effect, and ends as is said; what is refused is rolled back.
    pub(super) async fn settle(
        &self,
        s: &S,
        part: Settle,
        effect: Option<u64>,
        end: End,
    ) -> Result<Settled, Broken> {
        let mut tx = self.ledger.begin_for(self.of, Purpose::Handlers).await?;
        if let Some(number) = effect {
            s.affect(&mut tx, number).await?;
        }
        let settled = self.ledger.settle(&mut tx, self.of, &[part], &kinds()).await?;
        match end {
            End::Commit if matches!(settled, Settled::All(_)) => self.ledger.commit(tx).await?,
            End::Drop => drop(tx),
            _ => self.ledger.rollback(tx).await,
        }
        Ok(settled)
    }

    /// The numbers of what is due, chain after chain.
    pub(super) async fn due(&self) -> Result<Vec<(Offset, u32)>, Broken> {
        let partitions = self.owned.iter().map(|owned| owned.partition).collect::<Vec<_>>();
        let due = self.ledger.due(self.of, &partitions, 100).await?;
        let waiting = due.chains.iter().flatten();
        Ok(waiting.map(|waiting| (waiting.offset, waiting.attempt)).collect())
    }

    pub(super) fn epoch(&self, partition: Partition) -> Result<Epoch, Broken> {
        Ok(self.at(partition)?.epoch)
    }
}

/// A settlement that moves the cursor, and no more.
pub(super) fn passes(owned: Owned, to: Offset) -> Settle {
    Settle {
        partition: owned.partition,
        epoch: owned.epoch,
        from: owned.cursor,
        to,
        skipped: Vec::new(),
        marks: Vec::new(),
        aside: Vec::new(),
        again: Vec::new(),
    }
}

/// The kinds on the subscription's row.
pub(super) fn kinds() -> Vec<String> {
    vec![PROBE.name.to_owned()]
}

pub(super) fn subscription<S: Subject>(s: &S, reads: Reads) -> Result<NewSubscription> {
    Ok(NewSubscription {
        name: SubscriptionName::new("conformance")?,
        topic: s.topic(),
        reads,
        is_projection: reads == Reads::Stream,
        kinds: Probe::KINDS.to_vec(),
    })
}
