//! What the machine does beside us: the price of its syncs, and who else uses its processors.

use crate::Result;
use crate::latencies::median;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Ticks of the kernel's counters in a second, on every Linux that one meets.
const TICKS: f64 = 100.0;
const SYNCS: usize = 60;

/// What one sync of a page costs here: the median of some.
pub(crate) fn sync_cost(folder: &Path) -> Result<Duration> {
    let path = folder.join("sync-cost");
    let mut file = File::create(&path)?;
    let mut took = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[7; 4096])?;
        let started = Instant::now();
        file.sync_all()?;
        took.push(started.elapsed().as_secs_f64());
    }
    fs::remove_file(path)?;
    Ok(Duration::from_secs_f64(median(&took)))
}

/// Processor time from now on: the whole machine's, and ours.
pub(crate) struct Watch {
    since: Instant,
    machine: f64,
    ours: f64,
}

impl Watch {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { since: Instant::now(), machine: machine()?, ours: ours()? })
    }

    /// What other programs took, in percent of one processor. Our children count once they have
    /// ended, so they must have.
    pub(crate) fn others(&self) -> Result<f64> {
        let busy = (machine()? - self.machine) - (ours()? - self.ours);
        Ok(busy.max(0.0) / self.since.elapsed().as_secs_f64() * 100.0)
    }

    /// What all programs took, ours with them, in percent of one processor.
    pub(crate) fn all(&self) -> Result<f64> {
        let busy = machine()? - self.machine;
        Ok(busy / self.since.elapsed().as_secs_f64().max(1.0 / TICKS) * 100.0)
    }
}

/// Seconds that all processors were busy.
fn machine() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    let ticks = line.split_whitespace().skip(1).take(8).map(str::parse::<f64>);
    let ticks = ticks.collect::<std::result::Result<Vec<_>, _>>()?;
    // Of these eight, the fourth and the fifth are idleness and waiting for the disk.
    Ok((ticks.iter().sum::<f64>() - ticks[3] - ticks[4]) / TICKS)
}

/// Seconds of this process and of its children that have ended.
fn ours() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let behind_name = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks = behind_name.split_whitespace().skip(11).take(4).map(str::parse::<f64>);
    let ticks = ticks.collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(ticks.iter().sum::<f64>() / TICKS)
}

/// The most memory that this process ever had, in MiB.
pub(crate) fn memory_peak() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).unwrap_or_default();
    Ok(kib.parse::<f64>()? / 1024.0)
}
