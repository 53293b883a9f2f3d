//! Reads pages and decodes them, while the last batch commits.

use crate::kinds::Judged;
use consign_core::{Envelope, Error, Offset, PageRequest, Partition, Reader, Result};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::Instant;

/// A look at the log that takes longer than this is no sign of life.
const LATE: Duration = Duration::from_secs(5);

/// What is asked in one go.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) requests: Vec<(PageRequest, Reading)>,
    /// The kinds on the subscription's row.
    pub(crate) named: Arc<[String]>,
}

/// Tells an answer to the present question from one to a question that was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading(pub(crate) u64);

/// A page of one partition, judged.
#[derive(Debug)]
pub(crate) struct Judgement<M> {
    pub(crate) partition: Partition,
    pub(crate) reading: Reading,
    /// One that waits is the last.
    pub(crate) messages: Vec<Letter<M>>,
    pub(crate) more: bool,
}

/// A message of the log, judged.
#[derive(Debug)]
pub(crate) struct Letter<M> {
    pub(crate) offset: Offset,
    /// Bytes of its payload and headers.
    pub(crate) bytes: usize,
    pub(crate) judged: Judged<M>,
}

/// What is made of a message that was read: of its offset, itself, the kinds on the subscription's
/// row, and the time.
pub(crate) trait Judge<M>:
    Fn(Offset, Envelope, &[String], SystemTime) -> Judged<M> + Send + 'static
{
}

impl<M, F> Judge<M> for F where
    F: Fn(Offset, Envelope, &[String], SystemTime) -> Judged<M> + Send + 'static
{
}

/// The pages of one question.
type Answer<M> = Result<Vec<Judgement<M>>>;

/// The reading task of one subscription; at most one question is under way.
#[derive(Debug)]
pub(crate) struct Poll<M> {
    asks: mpsc::Sender<Ask>,
    answers: mpsc::Receiver<Answer<M>>,
    asked: Option<Instant>,
    is_over: bool,
    task: tokio::task::JoinHandle<()>,
}

impl<M: Send + 'static> Poll<M> {
    /// `now` says the time, by the ledger's clock.
    pub(crate) fn start(
        reader: impl Reader,
        judge: impl Judge<M>,
        now: impl Fn() -> SystemTime + Send + 'static,
    ) -> Self {
        let (asks, asked) = mpsc::channel(1);
        let (answer, answers) = mpsc::channel(1);
        let task = tokio::spawn(read(reader, judge, now, asked, answer));
        Self { asks, answers, asked: None, is_over: false, task }
    }

    /// A question is under way; the next one has to wait for its answer.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// A question has been under way for longer than any takes.
    pub(crate) fn is_late(&self) -> bool {
        self.asked.is_some_and(|at| at.elapsed() > LATE)
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        self.asked = self.asks.try_send(ask).is_ok().then(Instant::now);
    }

    /// The task has ended: nothing is read any more, another one has to be started.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The answer that is there already.
    pub(crate) fn try_answer(&mut self) -> Option<Answer<M>> {
        match self.answers.try_recv() {
            Ok(answer) => Some(self.answered(Some(answer))),
            Err(TryRecvError::Disconnected) => Some(self.answered(None)),
            Err(TryRecvError::Empty) => None,
        }
    }

    /// Waits for the answer; for ever where nothing was asked.
    ///
    /// # Cancel safety
    /// An answer that came meanwhile is given by the next call.
    pub(crate) async fn answer(&mut self) -> Answer<M> {
        let answer = self.answers.recv().await;
        self.answered(answer)
    }

    fn answered(&mut self, answer: Option<Answer<M>>) -> Answer<M> {
        self.asked = None;
        self.is_over = answer.is_none();
        answer
            .unwrap_or_else(|| Err(Error::new("reading", "the task that reads the log has ended")))
    }
}

impl<M> Drop for Poll<M> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read<M>(
    mut reader: impl Reader,
    judge: impl Judge<M>,
    now: impl Fn() -> SystemTime + Send + 'static,
    mut asked: mpsc::Receiver<Ask>,
    answer: mpsc::Sender<Answer<M>>,
) {
    while let Some(Ask { requests, named }) = asked.recv().await {
        let (pages, readings): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let judged = reader.read(&pages).await.map(|answers| {
            let answers = pages.iter().zip(readings).zip(answers);
            answers
                .map(|((request, reading), page)| Judgement {
                    partition: request.partition,
                    reading,
                    messages: judge_all(page.messages, &named, &judge, now()),
                    more: page.more,
                })
                .collect()
        });
        if answer.send(judged).await.is_err() {
            return;
        }
    }
}

fn judge_all<M>(
    messages: impl Iterator<Item = (Offset, Envelope)>,
    named: &[String],
    judge: &impl Judge<M>,
    now: SystemTime,
) -> Vec<Letter<M>> {
    let mut letters = Vec::with_capacity(messages.size_hint().0);
    for (offset, envelope) in messages {
        let bytes = envelope.payload.len() + envelope.headers.len();
        let judged = judge(offset, envelope, named, now);
        let waits = matches!(judged, Judged::Wait(_));
        letters.push(Letter { offset, bytes, judged });
        if waits {
            break;
        }
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::{Ask, Poll};
    use crate::kinds::judge;
    use consign_core::{Envelope, Key, Kind, Message, Offset, Page, PageRequest, Reader, Result};
    use std::sync::Arc;

    #[derive(Debug)]
    struct Nothing;

    impl Message for Nothing {
        const TOPIC: &'static str = "nothing";
        const KINDS: &'static [Kind] = &[Kind { name: "nothing", version: 1 }];

        fn kind(&self) -> Kind {
            Self::KINDS[0]
        }

        fn key(&self) -> Result<Option<Key>> {
            Ok(None)
        }

        fn encode(&self) -> Result<consign_core::__private::Bytes> {
            Ok(Vec::new().into())
        }

        fn decode(_: &str, _: u32, _: &[u8]) -> Result<Self> {
            Ok(Self)
        }
    }

    struct Panics;

    impl Reader for Panics {
        type Messages = std::iter::Empty<(Offset, Envelope)>;

        async fn read(&mut self, _: &[PageRequest]) -> Result<Vec<Page<Self::Messages>>> {
            panic!("a driver that does not keep its word");
        }
    }

    #[test]
    fn a_task_that_ended_is_an_error_and_no_silence() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let waits = async {
            let mut poll = Poll::start(Panics, judge::<Nothing>, || std::time::UNIX_EPOCH);
            poll.ask(Ask { requests: Vec::new(), named: Arc::default() });
            let answer = poll.answer();
            let answer = tokio::time::timeout(std::time::Duration::from_secs(10), answer).await;
            (answer.expect("it is told").map(drop), poll.is_over())
        };
        let (answer, is_over) = runtime.block_on(waits);
        assert_eq!(answer.unwrap_err().code(), "reading");
        assert!(is_over);
    }
}
