//! What a schedule has left, as the checker reads it.

use super::rows::At;
use super::world::{State, World, number, place};
use crate::checker::{Counts, CursorRow, LedgerRows, Logged, Scan};
use crate::history::MessageNumber;
use consign_core::SubscriptionId;
use std::collections::BTreeMap;

pub(super) fn scan(world: &World) -> Scan {
    let at = world.moment();
    let state = world.state();
    let log = state.log.all().map(|(partition, offset, envelope)| {
        let number = number(envelope.id);
        Logged { place: place(partition, offset), message: MessageNumber(number), hash: number }
    });
    let subscriptions = state.rows.subscriptions.iter().zip(0..).map(|(row, of)| (row, of));
    let ledgers = subscriptions.map(|(row, of)| ledger(&state, &row.name, SubscriptionId(of)));
    Scan { at, log: log.collect(), witnesses: state.witnesses.clone(), ledgers: ledgers.collect() }
}

fn ledger(state: &State, name: &str, of: SubscriptionId) -> LedgerRows {
    let rows = &state.rows;
    let message = |(_, partition, offset): &At| {
        let envelope = state.log.at(*partition, *offset);
        MessageNumber(envelope.map_or(u64::MAX, |envelope| number(envelope.id)))
    };
    let cursors = rows.cursors.iter().filter(|((id, _), _)| *id == of);
    let row = |((_, partition), cursor): (&(_, consign_core::Partition), &super::rows::Cursor)| {
        CursorRow { partition: partition.0, start: cursor.start.0, next: cursor.next.0 }
    };
    let mine = |at: &&At| at.0 == of;
    LedgerRows {
        subscription: name.to_owned(),
        cursors: cursors.map(row).collect(),
        marks: rows.marks.iter().filter(mine).map(|(_, at, offset)| (at.0, offset.0)).collect(),
        waiting: rows.waiting.keys().filter(mine).map(message).collect(),
        dead: rows.dead.iter().filter(mine).map(message).collect(),
        discarded: rows.discarded.iter().filter(mine).map(message).collect(),
        counts: (!name.ends_with("outside")).then(|| counts(state, of)),
        counters: BTreeMap::new(),
    }
}

fn counts(state: &State, of: SubscriptionId) -> Counts {
    let mut all = Counts::default();
    for ((_, partition), cursor) in state.rows.cursors.iter().filter(|((id, _), _)| *id == of) {
        let told = [cursor.counts.applied, cursor.counts.dead, cursor.counts.waiting];
        let [applied, dead, waiting] = told.map(i64::cast_unsigned);
        (all.applied, all.dead) = (all.applied + applied, all.dead + dead);
        all.waiting += waiting;
        all.discarded += cursor.counts.discarded.cast_unsigned();
        let unskipped = state.log.all().filter(|(at, offset, envelope)| {
            at == partition && *offset >= cursor.start && &*envelope.kind == super::work::DONE.name
        });
        all.accepted += unskipped.count() as u64;
    }
    all
}
