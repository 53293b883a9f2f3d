//! The kernel's queue for the turn's lock, and a place in it that can be left.

use crate::error;
use consign_core::Result;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc as threads};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc;

/// A thread that stands in the kernel's queue for the lock, so that who waits can lose his patience.
#[derive(Debug)]
pub(super) struct Queue {
    place: Arc<Mutex<Place>>,
    ask: threads::Sender<()>,
    got: mpsc::Receiver<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The thread stands nowhere.
    Nowhere,
    /// It stands in the queue; a lock that is no longer wanted it gives back.
    Queued { is_wanted: bool },
}

impl Queue {
    pub(super) fn new(file: Arc<File>) -> Result<Self> {
        let place = Arc::new(Mutex::new(Place::Nowhere));
        let ((ask, asked), (to, got)) = (threads::channel(), mpsc::channel(1));
        let its = Arc::clone(&place);
        let stand = move || {
            while asked.recv().is_ok() && lock(&file).is_ok() {
                let mut place = its.lock().unwrap_or_else(PoisonError::into_inner);
                let is_wanted = *place == Place::Queued { is_wanted: true };
                *place = Place::Nowhere;
                if !is_wanted || to.try_send(()).is_err() {
                    let _ = file.unlock();
                }
            }
        };
        let spawned = thread::Builder::new().name("consign-turn".into()).spawn(stand);
        spawned.map_err(|source| error::of_io("start the thread that waits for a turn", source))?;
        Ok(Self { place, ask, got })
    }

    fn stand(&self) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if *place == Place::Nowhere {
            let _ = self.ask.send(());
        }
        *place = Place::Queued { is_wanted: true };
    }

    /// The front is reached, and the lock is the caller's.
    async fn reached(&mut self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.got.recv()).await, Ok(Some(())))
    }

    /// Wants the lock no more; `true`: it has just come all the same.
    fn leave(&mut self) -> bool {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Place::Queued { is_wanted } = &mut *place {
            *is_wanted = false;
        }
        drop(place);
        self.got.try_recv().is_ok()
    }
}

/// A signal to the thread is no reason to leave the queue.
fn lock(file: &File) -> io::Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked,
        }
    }
}

/// A place in the queue, left when it is dropped: a lock that nobody waits for would keep every
/// other process waiting.
pub(super) struct Standing<'a> {
    queue: &'a mut Queue,
    file: &'a File,
    /// The lock has come; whoever stood for it has it.
    is_over: bool,
}

impl<'a> Standing<'a> {
    pub(super) fn begin(queue: &'a mut Queue, file: &'a File) -> Self {
        queue.stand();
        Self { queue, file, is_over: false }
    }

    pub(super) async fn reached(&mut self, within: Duration) -> bool {
        self.is_over = self.queue.reached(within).await;
        self.is_over
    }

    pub(super) fn leave(&mut self) -> bool {
        self.is_over = true;
        self.queue.leave()
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.queue.leave() {
            let _ = self.file.unlock();
        }
    }
}
