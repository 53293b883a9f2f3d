//! The figures, one a file.

pub(crate) mod api_while_workers;
pub(crate) mod backfill;
pub(crate) mod backlog_flat;
pub(crate) mod behind_writers;
pub(crate) mod counter_rate;
pub(crate) mod dead_letters;
pub(crate) mod publish_cost;
pub(crate) mod publish_rate;
pub(crate) mod queue_clean;
pub(crate) mod queue_idle;
pub(crate) mod queue_poison;
pub(crate) mod queue_rate;
pub(crate) mod schedule;
pub(crate) mod shared_commit;
pub(crate) mod visible;

use crate::Result;
use crate::bench::Bench;
use crate::record::Record;
use clap::ValueEnum;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// The blog's latency while 0, 3 and 20 workers drain
    ApiWhileWorkers,
    /// How far workers fall behind writers
    BehindWriters,
    /// What `publish` adds to a request
    PublishCost,
    /// Effects of one worker a second
    CounterRate,
    /// Requests of 16 clients at a sync of 4 ms
    SharedCommit,
    /// Messages of 256 callers a second
    PublishRate,
    /// Whether what waits costs anything
    BacklogFlat,
    /// From a commit to the count that shows it
    Visible,
    /// What requests feel while old rows are brought in
    Backfill,
    /// One message one effect, of 20,000 that wait, beside all peers
    QueueRate,
    /// The same of 200,000, beside the peers that end before one gets tired
    QueueRateLong,
    /// The same of a million, without peers
    QueueRateMillion,
    /// From publishing to the effect in another process, where nothing else happens
    QueueIdle,
    /// What messages that fail cost the others
    QueuePoison,
    /// What retries and parked keys cost where nothing fails
    QueueClean,
    /// How late what is due comes, and what that costs, beside a million that wait
    Schedule,
    /// How fast a page of a million dead letters is listed
    DeadLetters,
}

impl Figure {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ApiWhileWorkers => "api-while-workers",
            Self::BehindWriters => "behind-writers",
            Self::Visible => "visible",
            Self::Backfill => "backfill",
            Self::CounterRate => "counter-rate",
            Self::PublishRate => "publish-rate",
            Self::SharedCommit => "shared-commit",
            Self::PublishCost => "publish-cost",
            Self::BacklogFlat => "backlog-flat",
            Self::QueueRate => "queue-rate",
            Self::QueueRateLong => "queue-rate-long",
            Self::QueueRateMillion => "queue-rate-million",
            Self::QueueIdle => "queue-idle",
            Self::QueueClean => "queue-clean",
            Self::Schedule => "schedule",
            Self::DeadLetters => "dead-letters",
            Self::QueuePoison => "queue-poison",
        }
    }

    /// What survives a power cut, of what is measured.
    fn durability(self) -> &'static str {
        match self {
            Self::CounterRate => {
                "NORMAL: cursor and sum lie in one file, a power cut takes both back"
            }
            Self::PublishRate | Self::SharedCommit => "FULL: on disk before the answer",
            Self::PublishCost
            | Self::ApiWhileWorkers
            | Self::BehindWriters
            | Self::Visible
            | Self::Backfill => "requests FULL, workers NORMAL",
            Self::BacklogFlat | Self::QueuePoison | Self::QueueClean => {
                "NORMAL: cursor and effect lie in one file"
            }
            Self::QueueRate | Self::QueueRateLong | Self::QueueRateMillion => {
                "NORMAL where a message's end and its effect lie in one file, for consign and peers"
            }
            Self::QueueIdle => "publishing FULL, the worker NORMAL",
            Self::Schedule => "FULL: publishing, coming into the log, and the end of a message",
            Self::DeadLetters => "only read",
        }
    }

    pub(crate) fn record(self) -> Record {
        Record::new(self.name(), self.durability())
    }

    pub(crate) fn measure(self, bench: &Bench, run: u32, record: &mut Record) -> Result {
        match self {
            Self::ApiWhileWorkers => api_while_workers::measure(bench, record),
            Self::BehindWriters => behind_writers::measure(bench, record),
            Self::Visible => visible::measure(bench, record),
            Self::Backfill => backfill::measure(bench, record),
            Self::CounterRate => counter_rate::measure(bench, run, record),
            Self::PublishRate => publish_rate::measure(bench, run, record),
            Self::SharedCommit => shared_commit::measure(bench, run, record),
            Self::PublishCost => publish_cost::measure(bench, record),
            Self::BacklogFlat => backlog_flat::measure(bench, run, record),
            Self::QueueRate => queue_rate::measure(bench, queue_rate::SHORT, record),
            Self::QueueRateLong => queue_rate::measure(bench, queue_rate::LONG, record),
            Self::QueueRateMillion => queue_rate::measure(bench, queue_rate::MILLION, record),
            Self::QueueClean => queue_clean::measure(bench, record),
            Self::Schedule => schedule::measure(bench, record),
            Self::DeadLetters => dead_letters::measure(bench, record),
            Self::QueueIdle => queue_idle::measure(bench, record),
            Self::QueuePoison => queue_poison::measure(bench, record),
        }
    }
}
