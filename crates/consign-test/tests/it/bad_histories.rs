//! One bad history per rule, and more where a rule has several sides: each is caught by that rule
//! and by no other one.

use crate::model::{QUEUE, Run, STREAM};
use consign_test::Random;
use consign_test::checker::{Rule, Verdict, Violation, Witness};
use consign_test::history::{Delivered, End, Event, MessageNumber, Moment, Moved, Place, What};

/// Breaks a good run, and looks who notices.
#[track_caller]
fn caught_by(rule: Rule, breaks: impl Fn(&mut Run)) -> Vec<Violation> {
    let mut random = Random::new(&format!("{rule:?}"));
    let mut found = Vec::new();
    for _ in 0..10 {
        let mut run = Run::of(random.part(), 300);
        run.judged().expect_valid();
        breaks(&mut run);
        let Verdict::Invalid(violations) = run.judged() else {
            panic!("not by {rule:?}: {:?}", run.judged());
        };
        for violation in &violations {
            assert_eq!(violation.rule, rule, "{violation}");
        }
        found = violations;
    }
    found
}

/// Takes an effect away as if it had never been; answers it.
fn unmake(run: &mut Run, of: usize, index: usize) -> Witness {
    let witness = run.scan.witnesses.remove(index);
    let key = witness.key.clone().expect("each has one");
    let counters = &mut run.scan.ledgers[of].counters;
    *counters.get_mut(&key).expect("it was counted") -= 1;
    run.counts(of).applied -= 1;
    witness
}

fn wait(run: &mut Run, of: usize, index: usize) {
    let message = unmake(run, of, index).message;
    run.scan.ledgers[of].waiting.push(message);
    run.counts(of).waiting += 1;
}

/// Two effects of one key, under one epoch.
fn neighbours(run: &Run, of: usize) -> (usize, usize) {
    let effects = run.effects(of);
    let witness = |index: &usize| &run.scan.witnesses[*index];
    let pairs = effects.iter().flat_map(|one| effects.iter().map(move |other| (*one, *other)));
    let mut pairs = pairs.filter(|(one, other)| one < other).filter(|(one, other)| {
        let (one, other) = (witness(one), witness(other));
        (&one.key, one.epoch) == (&other.key, other.epoch)
    });
    pairs.next().expect("a run is long enough")
}

fn place(run: &Run, message: MessageNumber) -> Place {
    run.scan.log.iter().find(|row| row.message == message).expect("it is there").place.clone()
}

/// One more event after all others.
fn note(run: &mut Run, what: What) {
    let at = run.history.events.last().expect("some").at;
    run.history.events.push(Event { at, process: 99, what });
}

fn delivered(run: &Run, index: usize) -> Delivered {
    let Witness { subscription, message, worker, epoch, .. } = run.scan.witnesses[index].clone();
    let place = place(run, message);
    Delivered { subscription, message, place, worker, epoch, attempt: 1 }
}

#[test]
fn a_message_that_was_passed_without_an_effect_is_lost() {
    let violations = caught_by(Rule::Lost, |run| {
        let index = run.effects(STREAM)[5];
        unmake(run, STREAM, index);
    });
    assert_eq!(violations.len(), 1);
}

#[test]
fn a_message_that_has_two_effects_is_doubled() {
    caught_by(Rule::Doubled, |run| {
        let mut again = run.scan.witnesses[run.effects(STREAM)[5]].clone();
        again.n += 1;
        let key = again.key.clone().expect("each has one");
        *run.scan.ledgers[STREAM].counters.entry(key).or_default() += 1;
        run.scan.witnesses.push(again);
    });
}

#[test]
fn an_effect_of_what_nobody_published_is_a_ghost() {
    caught_by(Rule::Ghost, |run| {
        let mut invented = run.scan.witnesses[run.effects(QUEUE)[5]].clone();
        (invented.message, invented.n) = (MessageNumber(1_000_000), invented.n + 1);
        let key = invented.key.clone().expect("each has one");
        *run.scan.ledgers[QUEUE].counters.entry(key).or_default() += 1;
        run.scan.witnesses.push(invented);
    });
}

#[test]
fn an_effect_of_what_was_refused_is_a_ghost() {
    caught_by(Rule::Ghost, |run| {
        let is_refused = |event: &Event| match event.what {
            What::NotPublished { message } => Some(message),
            _ => None,
        };
        let refused = run.history.events.iter().find_map(is_refused).expect("some");
        let mut read = run.scan.witnesses[run.effects(QUEUE)[5]].clone();
        let key = run.key(refused);
        *run.scan.ledgers[QUEUE].counters.entry(key.clone()).or_default() += 1;
        let last = run.scan.witnesses.iter().map(|one| one.n).max().expect("some");
        // After all others, and under the newest epoch.
        (read.message, read.key) = (refused, Some(key));
        (read.n, read.epoch) = (last + 1, 1_000);
        run.scan.witnesses.push(read);
    });
}

#[test]
fn a_message_that_is_applied_and_dead_is_both() {
    caught_by(Rule::Both, |run| {
        let message = run.scan.witnesses[run.effects(QUEUE)[5]].message;
        run.scan.ledgers[QUEUE].dead.push(message);
        run.counts(QUEUE).dead += 1;
    });
}

#[test]
fn effects_of_one_key_in_the_wrong_order_are_an_inversion() {
    for of in [STREAM, QUEUE] {
        caught_by(Rule::Inversion, |run| {
            let (one, other) = neighbours(run, of);
            let message = run.scan.witnesses[one].message;
            run.scan.witnesses[one].message = run.scan.witnesses[other].message;
            run.scan.witnesses[other].message = message;
        });
    }
}

#[test]
fn a_message_that_waits_and_was_passed_is_a_gap() {
    caught_by(Rule::Gap, |run| {
        let (one, _) = neighbours(run, QUEUE);
        wait(run, QUEUE, one);
        run.expected.drains_within = None;
    });
}

#[test]
fn an_effect_that_the_ledger_does_not_know_breaks_atomicity() {
    caught_by(Rule::Atomicity, |run| {
        run.history.events.retain(|event| !matches!(event.what, What::Moved(_)));
        let last = *run.effects(STREAM).last().expect("some");
        let place = place(run, run.scan.witnesses[last].message);
        let cursors = &mut run.scan.ledgers[STREAM].cursors;
        let row = cursors.iter_mut().find(|row| row.partition == place.partition);
        row.expect("it has one").next = place.offset;
    });
}

#[test]
fn an_effect_of_what_never_came_into_the_log_breaks_atomicity() {
    caught_by(Rule::Atomicity, |run| {
        let is_logged = |message| run.scan.log.iter().any(|row| row.message == message);
        let unknown = run.history.events.iter().find_map(|event| match event.what {
            What::PublishUnknown { message } if !is_logged(message) => Some(message),
            _ => None,
        });
        let unknown = unknown.expect("some");
        let key = run.key(unknown);
        *run.scan.ledgers[STREAM].counters.entry(key.clone()).or_default() += 1;
        let n = run.scan.witnesses.iter().map(|one| one.n).max().expect("some") + 1;
        let mut effect = run.scan.witnesses[run.effects(STREAM)[5]].clone();
        (effect.message, effect.key, effect.n) = (unknown, Some(key), n);
        run.scan.witnesses.push(effect);
    });
}

#[test]
fn a_counter_that_counts_other_than_the_effects_breaks_atomicity() {
    caught_by(Rule::Atomicity, |run| {
        *run.scan.ledgers[STREAM].counters.values_mut().next().expect("some") += 1;
    });
}

#[test]
fn a_mark_that_is_left_below_a_cursor_breaks_atomicity() {
    caught_by(Rule::Atomicity, |run| {
        let row = run.scan.ledgers[QUEUE].cursors[0];
        run.scan.ledgers[QUEUE].marks.push((row.partition, row.next - 1));
    });
}

#[test]
fn an_effect_under_an_older_epoch_breaks_fencing() {
    for of in [STREAM, QUEUE] {
        caught_by(Rule::Fencing, |run| {
            let (one, _) = neighbours(run, of);
            let witness = &mut run.scan.witnesses[one];
            (witness.epoch, witness.worker) = (1_000, 1_000);
        });
    }
}

#[test]
fn two_workers_of_one_epoch_break_fencing() {
    caught_by(Rule::Fencing, |run| {
        let index = run.effects(QUEUE)[5];
        run.scan.witnesses[index].worker = 1_000;
    });
}

#[test]
fn a_cursor_that_goes_back_is_caught() {
    caught_by(Rule::Cursor, |run| {
        let Delivered { subscription, .. } = delivered(run, run.effects(STREAM)[5]);
        let partition = run.scan.ledgers[STREAM].cursors[0].partition;
        let moved = Moved { subscription, partition, epoch: 1_000, from: 0, to: 1 };
        note(run, What::Moved(moved));
    });
}

#[test]
fn a_cursor_that_stands_beyond_the_log_is_caught() {
    caught_by(Rule::Cursor, |run| run.scan.ledgers[QUEUE].cursors[0].next += 1);
}

#[test]
fn a_body_that_is_another_one_is_caught_by_the_log() {
    caught_by(Rule::Log, |run| run.scan.log[3].hash += 1);
}

#[test]
fn a_receipt_that_names_another_place_is_caught_by_the_log() {
    caught_by(Rule::Log, |run| {
        let receipt = run.history.events.iter_mut().find_map(|event| match &mut event.what {
            What::Published { place: Some(place), .. } => Some(place),
            _ => None,
        });
        receipt.expect("some").offset += 1;
    });
}

#[test]
fn what_a_worker_read_and_the_log_does_not_hold_is_caught_by_the_log() {
    caught_by(Rule::Log, |run| {
        let read = run.history.events.iter_mut().find_map(|event| match &mut event.what {
            What::Delivered(delivered) => Some(delivered),
            _ => None,
        });
        read.expect("some").place.offset += 1;
    });
}

#[test]
fn a_subscription_that_miscounts_breaks_conservation() {
    caught_by(Rule::Conservation, |run| run.counts(QUEUE).discarded += 1);
    caught_by(Rule::Conservation, |run| run.counts(STREAM).accepted -= 1);
}

#[test]
fn a_delivery_that_ends_before_it_begins_breaks_real_time() {
    caught_by(Rule::RealTime, |run| {
        let Delivered { subscription, message, .. } = delivered(run, run.effects(STREAM)[5]);
        let (worker, epoch, end) = (1_000, 1_000, End::Done);
        note(run, What::Applied { subscription, message, worker, epoch, end });
    });
}

#[test]
fn a_message_that_is_delivered_before_it_is_published_breaks_real_time() {
    caught_by(Rule::RealTime, |run| {
        let mut early = delivered(run, run.effects(STREAM)[5]);
        (early.epoch, early.worker) = (0, 1);
        let what = What::Delivered(early);
        run.history.events.insert(0, Event { at: Moment(0), process: 99, what });
    });
}

#[test]
fn two_handlers_that_have_one_message_at_once_break_real_time() {
    caught_by(Rule::RealTime, |run| {
        let again = delivered(run, run.effects(QUEUE)[5]);
        note(run, What::Delivered(again.clone()));
        note(run, What::Delivered(again));
    });
}

#[test]
fn a_message_that_still_waits_after_all_faults_breaks_liveness() {
    caught_by(Rule::Liveness, |run| {
        // The last effect of all is the last one of its key, too.
        let last = *run.effects(QUEUE).last().expect("some");
        wait(run, QUEUE, last);
    });
}

#[test]
fn a_message_that_is_tried_too_often_breaks_liveness() {
    caught_by(Rule::Liveness, |run| {
        run.expected.subscriptions[QUEUE].attempts_max = Some(1);
    });
}

#[test]
fn a_message_that_is_applied_late_breaks_liveness() {
    const HOUR: u64 = 3_600_000_000_000;
    caught_by(Rule::Liveness, |run| {
        let is_done = |event: &Event| matches!(event.what, What::Applied { end: End::Done, .. });
        let last = run.history.events.iter().rposition(is_done).expect("some");
        run.history.events[last..].iter_mut().for_each(|event| event.at.0 += HOUR);
        run.scan.at.0 += HOUR;
    });
}

#[test]
fn a_violation_names_seed_message_and_key_and_shows_ten_events_around_it() {
    let mut run = Run::of(Random::new("a violation"), 120);
    let index = run.effects(STREAM)[5];
    let witness = unmake(&mut run, STREAM, index);
    let Verdict::Invalid(violations) = run.judged() else { panic!("{:?}", run.judged()) };
    let [violation] = &violations[..] else { panic!("{violations:?}") };
    assert_eq!(violation.seed, run.history.seed);
    assert_eq!(violation.message, Some(witness.message));
    assert_eq!(violation.key, witness.key);
    assert_eq!(violation.subscription, Some(witness.subscription));
    assert_eq!(violation.around.len(), 10);
    assert!(violation.around.is_sorted_by_key(|event| event.at));
    let own = violation.around.iter().filter(|event| event.what.message() == violation.message);
    let is_publish = |event: &Event| matches!(event.what, What::Publishing(_));
    assert!(own.clone().any(is_publish) && own.count() > 2, "{violation}");
    let shown = violation.to_string();
    assert!(shown.contains("Lost") && shown.contains(&run.history.seed.to_string()), "{shown}");
}
