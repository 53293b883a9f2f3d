//! A message is published, then delivered, then applied; two never have it at once under one epoch.

use std::collections::{BTreeMap, HashMap};

use super::Rule;
use super::facts::Facts;
use super::findings::{Finding, Findings};
use super::reading::Reading;
use crate::history::{Delivered, MessageNumber, Moment, What};

/// A delivery, from its begin to its end.
struct Span {
    epoch: u64,
    worker: u32,
    begun: Moment,
    /// `None`: whoever had it died, or has it still.
    ended: Option<Moment>,
}

/// The deliveries of each message, per subscription.
type Spans<'a> = BTreeMap<(&'a str, MessageNumber), Vec<Span>>;

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let readings = facts.readings.iter().map(|reading| (&*reading.reader.name, reading));
    let readings: HashMap<_, _> = readings.collect();
    let mut spans = Spans::new();
    for event in &facts.history.events {
        let says = match &event.what {
            What::Delivered(delivered) => begin(facts, event.at, delivered, &mut spans),
            What::Applied { subscription, message, worker, epoch, .. } => {
                let of_message = spans.entry((subscription, *message)).or_default();
                end(event.at, (*worker, *epoch), of_message)
            }
            _ => None,
        };
        let reading = event.what.subscription().and_then(|name| readings.get(name));
        if let (Some(says), Some(reading), Some(message)) = (says, reading, event.what.message()) {
            findings.add(Finding::new(Rule::RealTime, says).of(reading).message(message));
        }
    }
    for ((subscription, message), spans) in spans {
        if let Some(reading) = readings.get(subscription).filter(|one| one.is_once()) {
            overlaps(reading, message, &spans, findings);
        }
    }
}

fn begin<'a>(
    facts: &Facts<'_>,
    at: Moment,
    delivered: &'a Delivered,
    spans: &mut Spans<'a>,
) -> Option<&'static str> {
    let Delivered { subscription, message, worker, epoch, .. } = delivered;
    let span = Span { epoch: *epoch, worker: *worker, begun: at, ended: None };
    spans.entry((subscription, *message)).or_default().push(span);
    let is_early = facts.publishes.get(message).is_some_and(|publish| at < publish.at);
    is_early.then_some("a message was delivered before it was published")
}

fn end(at: Moment, by: (u32, u64), spans: &mut [Span]) -> Option<&'static str> {
    let is_own = |span: &&mut Span| span.ended.is_none() && (span.worker, span.epoch) == by;
    let Some(span) = spans.iter_mut().find(is_own) else {
        return Some("a delivery has ended that had not begun");
    };
    span.ended = Some(at);
    None
}

/// Of two deliveries at once, the later has the higher epoch.
fn overlaps(
    reading: &Reading<'_>,
    message: MessageNumber,
    spans: &[Span],
    findings: &mut Findings,
) {
    let Some((first, later)) = spans.split_first() else { return };
    let mut longest = first;
    for span in later {
        let overlaps = longest.ended.is_none_or(|ended| span.begun < ended);
        if overlaps && span.epoch <= longest.epoch {
            let (epoch, other) = (span.epoch, longest.epoch);
            let says = format!("{message} was begun under epoch {epoch} while {other} had it");
            findings.add(Finding::new(Rule::RealTime, says).of(reading).message(message));
        }
        let is_longer = span.ended.is_none_or(|ended| longest.ended.is_some_and(|end| ended > end));
        if is_longer {
            longest = span;
        }
    }
}
