//! Many callers of `consign.publish` at once share a transaction: one hop, one commit.

use crate::handle::Log;
use crate::line::gone;
use crate::transaction::Transaction;
use consign_core::{Draft, Published, Receipt, Result};
use std::collections::VecDeque;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Messages that are written in one transaction, about; a call is never cut.
const MESSAGES_MAX: usize = 1_000;
/// Bytes of payload of one transaction, about.
const BYTES_MAX: usize = 4 << 20;

/// Who waits to be published.
#[derive(Debug, Default)]
pub(crate) struct Callers(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    calls: VecDeque<Call>,
    /// A task writes what is in the queue, until it is empty.
    is_served: bool,
}

#[derive(Debug)]
struct Call {
    drafts: Vec<Draft>,
    since: Instant,
    answer: oneshot::Sender<Result<Receipt>>,
}

impl Callers {
    /// Publishes `drafts` with whatever else waits.
    pub(crate) async fn publish(
        &self,
        log: &Log,
        mut drafts: Vec<Draft>,
        place: &'static Location<'static>,
    ) -> Result<Receipt> {
        // What is wrong with one call is told to that one alone.
        log.stamp(&mut drafts)?;
        let runtime = Handle::try_current().map_err(|source| stopped().caused_by(source))?;
        let (answer, answered) = oneshot::channel();
        if self.stand(Call { drafts, since: Instant::now(), answer }) {
            runtime.spawn(Serving { log: log.clone(), is_done: false }.serve_all(place));
        }
        answered.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Stands in the queue; `true`: nobody serves it yet.
    fn stand(&self, call: Call) -> bool {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.calls.push_back(call);
        !std::mem::replace(&mut queue.is_served, true)
    }

    fn next(&self) -> Vec<Call> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut messages, mut bytes) = (0, 0);
        let mut calls = Vec::new();
        while messages < MESSAGES_MAX
            && bytes < BYTES_MAX
            && let Some(call) = queue.calls.pop_front()
        {
            messages += call.drafts.len();
            bytes += call.drafts.iter().map(|draft| draft.payload.len()).sum::<usize>();
            calls.push(call);
        }
        queue.is_served = !calls.is_empty();
        calls
    }
}

fn stopped() -> consign_core::Error {
    consign_core::Error::new("stopped", "cannot publish: the runtime stops, or there is none")
}

/// Serves the queue; dropped before it is empty, with its runtime, it leaves nobody waiting.
struct Serving {
    log: Log,
    is_done: bool,
}

impl Serving {
    async fn serve_all(mut self, place: &'static Location<'static>) {
        loop {
            let mut calls = self.log.callers().next();
            // The last to come has its whole wait: who came earlier stood behind others' commit.
            let Some(since) = calls.iter().map(|call| call.since).max() else {
                self.is_done = true;
                return;
            };
            let sizes = calls.iter().map(|call| call.drafts.len()).collect::<Vec<_>>();
            let drafts =
                calls.iter_mut().flat_map(|call| std::mem::take(&mut call.drafts)).collect();
            let write = tokio::spawn(write(self.log.clone(), drafts, since, place));
            let written = write.await.unwrap_or_else(|source| Err(gone("publish", source)));
            answer(calls, &sizes, &written);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Who came after the queue was found empty is served by another.
        if self.is_done {
            return;
        }
        let mut queue = self.log.callers().0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.calls.clear();
        queue.is_served = false;
    }
}

type Places = Vec<Option<Published>>;

async fn write(
    log: Log,
    drafts: Vec<Draft>,
    since: Instant,
    place: &'static Location<'static>,
) -> Result<Places> {
    let mut tx = Transaction::new(log.line().begin(since, place).await?, log.clone());
    let (_, places) = tx.append(drafts).await?;
    tx.commit().await?;
    Ok(places)
}

fn answer(calls: Vec<Call>, sizes: &[usize], written: &Result<Places>) {
    let mut rest = written.as_ref().map_or(&[][..], |places| places);
    for (call, size) in calls.into_iter().zip(sizes) {
        let answer = match written {
            Ok(_) => {
                let (own, others) = rest.split_at(*size);
                rest = others;
                Ok(Receipt::new(own.iter().flatten().cloned().collect()))
            }
            Err(error) => Err(error.again()),
        };
        // The caller may be gone: the message is published all the same.
        let _ = call.answer.send(answer);
    }
}
