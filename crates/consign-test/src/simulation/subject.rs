//! The simulated ledger as the conformance suite tries it: in calm weather, or as a mutant.

use super::driver::SimDriver;
use super::ledger::SimLedger;
use super::log::PARTITIONS;
use super::mutant::Mutant;
use super::plan::Plan;
use super::transaction::{Effect, Transaction};
use super::world::World;
use crate::Random;
use crate::conformance::{Capabilities, Subject};
use crate::history::MessageNumber;
use consign_core::{Draft, Partition, Result, Topic};
use std::sync::Arc;

/// A simulated broker and database of their own.
#[derive(Clone, Debug)]
pub struct Simulated {
    world: Arc<World>,
}

impl Simulated {
    /// One that keeps its word, or a mutant.
    #[must_use]
    pub fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut random = Random::of(seed);
        let plan = Plan::drawn(&mut random);
        let world = World::new(random, plan, mutant);
        world.state().heal();
        Self { world: Arc::new(world) }
    }
}

impl Subject for Simulated {
    type Ledger = SimLedger;
    type Driver = SimDriver;

    fn capabilities(&self) -> Capabilities {
        Capabilities { rolls_back: false, replays: true, schedules: false }
    }

    fn topic(&self) -> Topic {
        Topic::new("work").expect("a name")
    }

    fn partitions(&self) -> u16 {
        PARTITIONS
    }

    async fn process(&self) -> (SimLedger, SimDriver) {
        let (world, process) = (Arc::clone(&self.world), self.world.process());
        (SimLedger::new(&self.world, process), SimDriver { world, process })
    }

    async fn kill(&self, ledger: SimLedger) {
        self.world.kill(ledger.process());
        if self.world.plan.has_leases_only {
            tokio::time::sleep(super::ledger::LEASE).await;
        }
    }

    async fn publish(&self, drafts: Vec<Draft>, _: bool) -> Result {
        let now = self.world.now();
        for draft in drafts {
            self.world.state().log.append_draft(draft, now);
        }
        self.world.tell();
        Ok(())
    }

    async fn affect(&self, tx: &mut Transaction, number: u64) -> Result {
        let (subscription, partition) = ("conformance".to_owned(), Partition(0));
        let message = MessageNumber(number);
        tx.write(Effect { subscription, message, key: None, partition });
        Ok(())
    }

    async fn effects(&self) -> Vec<u64> {
        self.world.state().witnesses.iter().map(|witness| witness.message.0).collect()
    }
}
