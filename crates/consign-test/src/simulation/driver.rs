//! The simulated log as one process reads it.

use super::mutant::Mutant;
use super::world::{Call, World};
use consign_core::{Changes, Driver, Envelope, Offset, Page, PageRequest, Reader, Result, Topic};
use std::sync::Arc;

/// The log, from one process.
#[derive(Clone, Debug)]
pub struct SimDriver {
    pub(super) world: Arc<World>,
    pub(super) process: u32,
}

impl Driver for SimDriver {
    type Reader = Self;

    async fn reader(&self, _: &Topic) -> Result<Self> {
        self.world.enter(self.process, Call::Read).await?;
        Ok(self.clone())
    }

    fn changes(&self) -> Changes {
        self.world.changes(self.process)
    }
}

impl Reader for SimDriver {
    type Messages = std::vec::IntoIter<(Offset, Envelope)>;

    async fn read(&mut self, requests: &[PageRequest]) -> Result<Vec<Page<Self::Messages>>> {
        self.world.enter(self.process, Call::Page).await?;
        Ok(requests.iter().map(|request| self.page(request)).collect())
    }
}

impl SimDriver {
    fn page(&self, request: &PageRequest) -> Page<std::vec::IntoIter<(Offset, Envelope)>> {
        let PageRequest { partition, from, messages_max, .. } = *request;
        let most = 1 + self.world.below(messages_max.min(self.world.plan.page_max));
        let state = self.world.state();
        let mut from = from.0;
        if self.world.is(Mutant::PageRepeats) && from % 4 == 3 {
            from -= 1;
        }
        let at =
            |offset: u64| Some((Offset(offset), state.log.at(partition, Offset(offset))?.clone()));
        let mut messages = (from..).map_while(at).take(most).collect::<Vec<_>>();
        let more = state.log.end(partition).0 > from + messages.len() as u64;
        if self.world.is(Mutant::PageSkips) && messages.len() > 2 {
            messages.remove(1);
        }
        Page { messages: messages.into_iter(), more }
    }
}
