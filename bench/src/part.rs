//! What runs in a process of its own: started with its settings as JSON, answers with JSON.
//!
//! So a slow disk can be had for it alone, its memory is its own, and its end closes the database.

use crate::Result;
use crate::backlog::Fill;
use crate::figures::{
    backfill, backlog_flat, counter_rate, dead_letters, publish_cost, publish_rate, queue_idle,
    schedule, shared_commit,
};
use crate::queue_by_hand::QueueByHand;
use crate::queue_worker::QueueWorker;
use crate::shim::Shim;
use crate::worker::Worker;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::process::{Child, Command, Stdio};

/// The first argument of such a process.
pub(crate) const WORD: &str = "part";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    Fill(Fill),
    Worker(Worker),
    Drain(counter_rate::Drain),
    DrainByHand(counter_rate::DrainByHand),
    Requests(shared_commit::Requests),
    RequestsByHand(shared_commit::RequestsByHand),
    Publishers(publish_rate::Publishers),
    PublishersByHand(publish_rate::PublishersByHand),
    Interleaved(publish_cost::Interleaved),
    Batches(backlog_flat::Batches),
    Rare(backlog_flat::Rare),
    Asked(backfill::Asked),
    Filling(backfill::Filling),
    QueueWorker(QueueWorker),
    QueueByHand(QueueByHand),
    Enqueuer(queue_idle::Enqueuer),
    FillSchedule(schedule::FillSchedule),
    Promoted(schedule::Promoted),
    Listed(dead_letters::Listed),
}

/// Runs the part that `settings` describe, and prints its answer.
pub(crate) fn run_here(settings: &str) -> Result {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
    let part: Part = serde_json::from_str(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let answer = runtime.block_on(part.run())?;
    println!("{answer}");
    Ok(())
}

impl Part {
    async fn run(self) -> Result<serde_json::Value> {
        let answer = match self {
            Self::Fill(part) => serde_json::to_value(part.run().await?),
            Self::Worker(part) => serde_json::to_value(part.run().await?),
            Self::Drain(part) => serde_json::to_value(part.run().await?),
            Self::DrainByHand(part) => serde_json::to_value(part.run()?),
            Self::Requests(part) => serde_json::to_value(part.run().await?),
            Self::RequestsByHand(part) => serde_json::to_value(part.run()?),
            Self::Publishers(part) => serde_json::to_value(part.run().await?),
            Self::PublishersByHand(part) => serde_json::to_value(part.run().await?),
            Self::Interleaved(part) => serde_json::to_value(part.run().await?),
            Self::Batches(part) => serde_json::to_value(part.run().await?),
            Self::Rare(part) => serde_json::to_value(part.run().await?),
            Self::Asked(part) => serde_json::to_value(part.run().await?),
            Self::Filling(part) => serde_json::to_value(part.run().await?),
            Self::QueueWorker(part) => serde_json::to_value(part.run().await?),
            Self::QueueByHand(part) => serde_json::to_value(part.run()?),
            Self::Enqueuer(part) => serde_json::to_value(part.run().await?),
            Self::FillSchedule(part) => serde_json::to_value(part.run().await?),
            Self::Promoted(part) => serde_json::to_value(part.run().await?),
            Self::Listed(part) => serde_json::to_value(part.run().await?),
        };
        Ok(answer?)
    }
}

/// A part that runs; killed when it is dropped.
pub(crate) struct Process(Option<Child>);

impl Process {
    pub(crate) fn start(part: &Part, shim: Option<&Shim>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(WORD).arg(serde_json::to_string(part)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(shim) = shim {
            shim.slow_down(&mut command);
        }
        Ok(Self(Some(command.spawn()?)))
    }

    /// Closes its standard input, which asks those that go on for ever to end; waits for its answer.
    pub(crate) fn answer<T: DeserializeOwned>(mut self) -> Result<T> {
        let child = self.0.take().expect("it answers once");
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("a part ended with {}", output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
