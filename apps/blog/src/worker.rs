//! One worker, alone in its process.

use std::time::Duration;

use consign::sqlite::Consign;
use consign::{queue, stream};

use crate::config::{Config, WorkerName};
use crate::mail::{Mail, receipt_mail};
use crate::search::{BATCH_MAX, Search};
use crate::stop::Stop;
use crate::{BoxError, counter, db, supervised};

/// A supervised worker has to be gone within 5 s of its supervisor's end.
const DRAINED_WITHIN: Duration = Duration::from_secs(4);

/// Runs the worker until it is asked to stop; then finishes what it is at.
pub(crate) async fn run(
    name: WorkerName,
    config: &Config,
    is_supervised: bool,
    stop: Stop,
) -> Result<(), BoxError> {
    if is_supervised {
        supervised::begin(&stop);
    }
    let running = tokio::select! {
        running = start_when_free(name, config) => running?,
        () = stop.asked() => return Ok(()),
    };
    tracing::info!("worker {} started", name.as_str());
    stop.asked().await;
    let drained = tokio::time::timeout(DRAINED_WITHIN, running.shutdown()).await;
    drained.unwrap_or_else(|_| {
        // What is not committed is done again by whoever comes next.
        tracing::warn!("worker {} did not drain in time", name.as_str());
        Ok(())
    })?;
    Ok(())
}

/// Somebody may hold the write lock for long; the work is there afterwards, too.
async fn start_when_free(name: WorkerName, config: &Config) -> Result<consign::Running, BoxError> {
    loop {
        match start(name, config).await {
            Err(error) if error.downcast_ref().is_some_and(consign::Error::is_busy) => {
                tracing::warn!(%error, "worker {} starts later", name.as_str());
            }
            other => return other,
        }
    }
}

async fn start(name: WorkerName, config: &Config) -> Result<consign::Running, BoxError> {
    let pool = db::open(&config.data).await?;
    let consign = Consign::open(&pool).await?;
    let (workers, title) = (consign.workers(), name.as_str());
    let running = match name {
        WorkerName::Counter => workers.subscribe(stream(title, counter::counts())).start(),
        WorkerName::Search => workers.subscribe(stream(title, Search).batch_max(BATCH_MAX)).start(),
        // From the start: an article that was published before the first mailer ran has its receipt, too.
        WorkerName::Mailer => {
            let mailer = queue(title, receipt_mail).from_start();
            let mail = Mail::open(config, pool).await?;
            return Ok(workers.with_state(mail).subscribe(mailer).start().await?);
        }
    };
    Ok(running.await?)
}
