//! What did everything right is called valid, and what cannot be judged is not.

use crate::model::{QUEUE, Run, STREAM, gates};
use consign_test::Random;
use consign_test::checker::{Effects, Gate, Verdict};
use consign_test::history::{Event, MessageNumber, Moment, What};

#[test]
fn two_hundred_histories_of_a_correct_system_are_valid() {
    let mut random = Random::new("good histories");
    for _ in 0..200 {
        Run::of(random.part(), 60).judged().expect_valid();
    }
}

#[test]
fn a_long_history_meets_every_gate_and_is_valid() {
    let mut run = Run::of(Random::new("a long history"), 1_000);
    run.expected.gates = gates();
    run.judged().expect_valid();
}

#[test]
fn effects_of_a_handler_without_tx_may_be_repeated() {
    let mut run = Run::of(Random::new("repeated"), 60);
    let repeated = run.effects(QUEUE)[0];
    let mut again = run.scan.witnesses[repeated].clone();
    again.n += 1;
    run.scan.witnesses.push(again);
    run.scan.ledgers[QUEUE].counters.clear();
    assert!(matches!(run.judged(), Verdict::Invalid(_)));
    run.expected.subscriptions[QUEUE].effects = Effects::AtLeastOnce;
    run.judged().expect_valid();
}

#[test]
fn a_run_that_never_met_a_gate_proves_nothing() {
    let mut run = Run::of(Random::new("a gate"), 300);
    run.expected.gates = gates();
    let gate = Gate::Fault("power cut".to_owned());
    run.expected.gates.push(gate.clone());
    let Verdict::Inconclusive(missing) = run.judged() else { panic!("{:?}", run.judged()) };
    assert_eq!(missing, [gate]);
}

#[test]
fn a_run_that_was_read_too_early_is_not_judged() {
    let mut run = Run::of(Random::new("too early"), 60);
    run.scan.at = run.history.events.last().expect("some").at;
    run.judged().expect_valid();
    let last = *run.effects(STREAM).last().expect("some");
    let message = run.scan.witnesses.remove(last).message;
    run.scan.ledgers[STREAM].waiting.push(message);
    assert_not_judged(&run, "within");
}

#[test]
fn what_contradicts_itself_is_not_judged() {
    let good = Run::of(Random::new("contradictions"), 60);
    let broken = |breaks: &dyn Fn(&mut Run), why: &str| {
        let mut run = good.clone();
        breaks(&mut run);
        assert_not_judged(&run, why);
    };
    broken(&|run| run.history.events[5].at = Moment(0), "clock");
    broken(&|run| run.scan.at = Moment(0), "at work");
    broken(&|run| run.history.events.insert(0, run.history.events[0].clone()), "published twice");
    let of_one = good.effects(STREAM);
    broken(&|run| run.scan.witnesses[of_one[0]].n = run.scan.witnesses[of_one[1]].n, "number");
    broken(&|run| drop(run.scan.ledgers.pop()), "ledgers");
    broken(&|run| drop(run.expected.subscriptions.pop()), "expected");
    broken(&|run| run.scan.witnesses[0].subscription = "other".to_owned(), "nobody expects");
    broken(&|run| run.history.events.clear(), "nothing was accepted");
    let last = good.history.events.last().expect("some").clone();
    let note = |run: &mut Run, what: What| {
        run.history.events.push(Event { what, ..last.clone() });
    };
    let fault = What::Fault { kind: "kill".to_owned(), target: "api".to_owned() };
    broken(&|run| note(run, fault.clone()), "never healed");
    let answer = What::NotPublished { message: MessageNumber(1_000_000) };
    broken(&|run| note(run, answer.clone()), "an answer to no publish");
    let What::Publishing(mut other) = good.history.events[0].what.clone() else {
        panic!("a run begins with a publish");
    };
    (other.message, other.publisher) = (MessageNumber(1_000_000), 99);
    broken(&|run| note(run, What::Publishing(other.clone())), "two publishers");
}

#[track_caller]
fn assert_not_judged(run: &Run, why: &str) {
    let Verdict::InvalidRun(said) = run.judged() else { panic!("{why}: {:?}", run.judged()) };
    assert!(said.contains(why), "{said:?} does not say {why:?}");
}
