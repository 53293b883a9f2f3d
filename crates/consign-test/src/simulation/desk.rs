//! Handlers and a projection: they write down what they have done, and fare as their message says.

use super::transaction::{Connection, Effect};
use super::work::{Script, Work};
use super::world::{Call, World, place};
use crate::history::{Delivered, End, MessageNumber, What};
use consign_core::{
    AnyOrder, Batch, Delivery, Epoch, HandlerResult, Partition, Projection, Tx, Verdict,
};
use consign_worker::State;
use std::sync::Arc;
use std::time::Duration;

/// How long a handler may take.
pub(super) const TIMEOUT: Duration = Duration::from_millis(300);

/// What a handler knows of where it runs.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) world: Arc<World>,
    pub(super) process: u32,
    pub(super) subscription: &'static str,
}

/// One message, with `Tx`.
pub(super) async fn one(
    work: Work,
    State(desk): State<Desk>,
    delivery: Delivery,
    mut tx: Tx<Connection>,
) -> HandlerResult {
    desk.inside(&work, delivery.attempt, &mut tx).await
}

/// A batch, with `Tx`.
pub(super) async fn many(
    batch: Batch<Work>,
    State(desk): State<Desk>,
    mut tx: Tx<Connection>,
) -> HandlerResult {
    for event in &batch {
        desk.inside(event, event.delivery.attempt, &mut tx).await?;
    }
    Ok(())
}

/// One message, whose effect is elsewhere.
pub(super) async fn one_outside(
    work: Work,
    State(desk): State<Desk>,
    delivery: Delivery,
) -> HandlerResult {
    desk.outside(&work, delivery.attempt).await
}

/// A batch whose effects are elsewhere.
pub(super) async fn many_outside(batch: Batch<Work>, State(desk): State<Desk>) -> HandlerResult {
    for event in &batch {
        desk.outside(event, event.delivery.attempt).await?;
    }
    Ok(())
}

impl Projection<Tx<Connection>> for Desk {
    type Event = Work;

    async fn apply(&self, batch: Batch<Work>, mut tx: Tx<Connection>) -> HandlerResult {
        for event in &batch {
            self.inside(event, event.delivery.attempt, &mut tx).await?;
        }
        Ok(())
    }

    async fn reset(&self, _: Tx<Connection>) -> HandlerResult {
        Ok(())
    }
}

impl AnyOrder for Desk {}

/// A delivery that has begun; dropped, it has failed.
struct Open<'a> {
    desk: &'a Desk,
    message: MessageNumber,
    partition: Partition,
    epoch: Epoch,
    is_over: bool,
}

impl Desk {
    async fn inside(&self, work: &Work, attempt: u32, tx: &mut Tx<Connection>) -> HandlerResult {
        let mut open = self.deliver(work, attempt);
        let effect = self.effect(work, open.partition);
        let comes_first = (work.number + u64::from(attempt)).is_multiple_of(2);
        if comes_first {
            tx.write(effect.clone());
        }
        self.fare(work, attempt).await?;
        if !comes_first {
            tx.write(effect);
        }
        open.is_over = true;
        tx.is_done(self.subscription, open.message, open.epoch);
        Ok(())
    }

    async fn outside(&self, work: &Work, attempt: u32) -> HandlerResult {
        let mut open = self.deliver(work, attempt);
        self.fare(work, attempt).await?;
        let Effect { subscription, message, key, .. } = self.effect(work, open.partition);
        self.world.witness(self.process, (subscription, message, key), open.epoch);
        open.end(End::Done);
        Ok(())
    }

    fn effect(&self, work: &Work, partition: Partition) -> Effect {
        let (subscription, message) = (self.subscription.to_owned(), MessageNumber(work.number));
        Effect { subscription, message, key: work.key_text(), partition }
    }

    fn deliver(&self, work: &Work, attempt: u32) -> Open<'_> {
        let (partition, offset) = self.world.at(work.number);
        let epoch = self.world.epoch(self.process, self.subscription, partition);
        let message = MessageNumber(work.number);
        let delivered = Delivered {
            subscription: self.subscription.to_owned(),
            message,
            place: place(partition, offset),
            worker: self.process,
            epoch: epoch.0,
            attempt,
        };
        if self.world.is_again(self.subscription, work.number) {
            self.world.meet("delivered again");
        }
        self.world.note(self.process, What::Delivered(delivered));
        Open { desk: self, message, partition, epoch, is_over: false }
    }

    async fn fare(&self, work: &Work, attempt: u32) -> HandlerResult {
        self.world.enter(self.process, Call::Handler).await?;
        let takes = [0, 0, 0, 1, 4, 40][self.world.below(6)];
        if takes > 0 {
            tokio::time::sleep(Duration::from_millis(takes)).await;
        }
        if self.world.is_in(self.world.plan.is_away) {
            self.world.meet("what handlers need is away");
            return Err(Verdict::from("the simulated mail server is away"));
        }
        let whose = work.whose();
        match work.script {
            Script::Flaky(failures) if attempt <= failures => {
                Err(Verdict::from(format!("it is not there yet: {whose}")))
            }
            Script::Poison => Err(Verdict::from(format!("it cannot be done: {whose}"))),
            Script::Kills if self.subscription == "stream" => {
                Err(Verdict::from(format!("it cannot be done: {whose}")))
            }
            Script::Kills => {
                self.world.meet("a message killed its process");
                self.world.kills(self.subscription, work.number);
                self.world.kill(self.process);
                std::future::pending().await
            }
            Script::Rejected => Err(Verdict::reject("it makes no sense")),
            Script::Discarded => Err(Verdict::discard("it is obsolete")),
            Script::Snoozed if self.world.is_first_snooze(self.subscription, work.number) => {
                Err(Verdict::Snooze(Duration::from_millis(70)))
            }
            Script::Panics if attempt == 1 => {
                std::panic::resume_unwind(Box::new(format!("it falls: {whose}")))
            }
            Script::Hangs if attempt == 1 => {
                tokio::time::sleep(TIMEOUT * 2).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Open<'_> {
    fn end(&mut self, end: End) {
        self.is_over = true;
        let (subscription, worker) = (self.desk.subscription.to_owned(), self.desk.process);
        let (message, epoch) = (self.message, self.epoch.0);
        let what = What::Applied { subscription, message, worker, epoch, end };
        self.desk.world.note(worker, what);
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let is_dead = self.desk.world.is_dead(self.desk.process);
            self.end(if is_dead { End::Unknown } else { End::Failed });
        }
    }
}
