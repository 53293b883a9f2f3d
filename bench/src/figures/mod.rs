//! The figures, one a file.

pub(crate) mod api_while_workers;
pub(crate) mod backfill;
pub(crate) mod backlog_flat;
pub(crate) mod behind_writers;
pub(crate) mod counter_rate;
pub(crate) mod publish_cost;
pub(crate) mod publish_rate;
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
            Self::BacklogFlat => "NORMAL: cursor and effect lie in one file",
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
        }
    }
}
