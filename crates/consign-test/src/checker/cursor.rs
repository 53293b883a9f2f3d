//! A cursor never moves back unasked.
//!
//! A move may be noted long after it was committed, so they are put in order by what they say: by
//! epoch, and within one by where they start. A killed worker notes nothing: gaps prove nothing.

use std::collections::{BTreeMap, HashMap};

use super::Rule;
use super::facts::Facts;
use super::findings::{Finding, Findings};
use super::reading::Reading;
use crate::history::{Moved, What};

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    for reading in &facts.readings {
        let mut moves = BTreeMap::<_, Vec<_>>::new();
        for (index, event) in facts.history.events.iter().enumerate() {
            if let What::Moved(moved) = &event.what
                && moved.subscription == reading.reader.name
            {
                moves.entry(moved.partition).or_default().push((moved, index));
            }
        }
        let mut reached = HashMap::new();
        for (partition, mut moves) in moves {
            moves.sort_by_key(|(moved, _)| (moved.epoch, moved.from, moved.to));
            reached.insert(partition, chain(reading, &moves, findings));
        }
        ends(facts, reading, &reached, findings);
    }
}

/// Each move starts where the one before has ended, or later; answers how far they came.
fn chain(reading: &Reading<'_>, moves: &[(&Moved, usize)], findings: &mut Findings) -> u64 {
    let (mut reached, mut epoch) = (0, 0);
    for (moved, index) in moves {
        if reading.is_rebuilt && moved.epoch > epoch {
            reached = 0;
        }
        if moved.to <= moved.from || moved.from < reached {
            let Moved { partition, from, to, .. } = moved;
            let says =
                format!("the cursor of {partition} went from {from} to {to}, after {reached}");
            findings.add(Finding::new(Rule::Cursor, says).of(reading).event(*index));
        }
        (reached, epoch) = (reached.max(moved.to), moved.epoch);
    }
    reached
}

/// Where cursors stand at last: not below a move, and not beyond the log.
fn ends(
    facts: &Facts<'_>,
    reading: &Reading<'_>,
    reached: &HashMap<u16, u64>,
    findings: &mut Findings,
) {
    for row in &reading.ledger.cursors {
        let (partition, next) = (row.partition, row.next);
        let reached = reached.get(&partition).filter(|_| !reading.is_rebuilt);
        let reached = reached.copied().unwrap_or(row.start);
        let end = facts.ranges.get(&(&*reading.reader.topic, partition));
        let end = end.map_or(u64::MAX, |(_, last)| last + 1);
        if next < reached || next > end {
            let says = format!(
                "the cursor of {partition} stands at {next}, it was at {reached}, the log ends at {end}"
            );
            findings.add(Finding::new(Rule::Cursor, says).of(reading));
        }
    }
}
