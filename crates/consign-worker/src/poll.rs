//! Reads pages and decodes them, while the last batch commits.

use crate::kinds::{Judged, judge};
use consign_core::{Clock, Message, Offset, PageRequest, Partition, Reader, Result, SystemClock};
use std::sync::Arc;
use tokio::sync::mpsc;

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
    pub(crate) messages: Vec<(Offset, Judged<M>)>,
    pub(crate) more: bool,
}

/// The reading task of one subscription; at most one question is under way.
#[derive(Debug)]
pub(crate) struct Poll<M> {
    asks: mpsc::Sender<Ask>,
    answers: mpsc::Receiver<Result<Vec<Judgement<M>>>>,
    is_asked: bool,
    task: tokio::task::JoinHandle<()>,
}

impl<M: Message> Poll<M> {
    pub(crate) fn start(reader: impl Reader) -> Self {
        let (asks, asked) = mpsc::channel(1);
        let (answer, answers) = mpsc::channel(1);
        let task = tokio::spawn(read(reader, asked, answer));
        Self { asks, answers, is_asked: false, task }
    }

    /// A question is under way; the next one has to wait for its answer.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked
    }

    pub(crate) fn ask(&mut self, ask: Ask) {
        self.is_asked = self.asks.try_send(ask).is_ok();
    }

    /// The answer that is there already.
    pub(crate) fn try_answer(&mut self) -> Option<Result<Vec<Judgement<M>>>> {
        let answer = self.answers.try_recv().ok()?;
        self.is_asked = false;
        Some(answer)
    }

    /// Waits for the answer; for ever where nothing was asked.
    ///
    /// # Cancel safety
    /// An answer that came meanwhile is given by the next call.
    pub(crate) async fn answer(&mut self) -> Result<Vec<Judgement<M>>> {
        match self.answers.recv().await {
            Some(answer) => {
                self.is_asked = false;
                answer
            }
            None => std::future::pending().await,
        }
    }
}

impl<M> Drop for Poll<M> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read<M: Message>(
    mut reader: impl Reader,
    mut asked: mpsc::Receiver<Ask>,
    answer: mpsc::Sender<Result<Vec<Judgement<M>>>>,
) {
    while let Some(Ask { requests, named }) = asked.recv().await {
        let (pages, readings): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let judged = reader.read(&pages).await.map(|answers| {
            let answers = pages.iter().zip(readings).zip(answers);
            answers
                .map(|((request, reading), page)| Judgement {
                    partition: request.partition,
                    reading,
                    messages: judge_all(page.messages, &named),
                    more: page.more,
                })
                .collect()
        });
        if answer.send(judged).await.is_err() {
            return;
        }
    }
}

fn judge_all<M: Message>(
    messages: Vec<(Offset, consign_core::Envelope)>,
    named: &[String],
) -> Vec<(Offset, Judged<M>)> {
    let now = SystemClock.now();
    let judged = |(offset, envelope)| (offset, judge(offset, envelope, named, now));
    messages.into_iter().map(judged).collect()
}
