//! The plans of statements that must stay quick however much waits or is dead.

use crate::dead_letters::{self, DeadLetters};
use crate::request::Selection;
use crate::{command, due, explain, migrate, scheduled, settle, unique, waiting};
use rusqlite::{Connection, params_from_iter};

fn database() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    migrate::migrate(&db).unwrap();
    let subscription = "INSERT INTO consign_subscription (name, topic, kinds, state)
                        VALUES ('mailer', 1, '[]', 'running')";
    db.execute(subscription, []).unwrap();
    db
}

fn plan(db: &Connection, select: &str) -> String {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {select}")).unwrap();
    let nothing = vec![rusqlite::types::Null; explain.parameter_count()];
    let rows = explain.query_map(params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
    rows.map(Result::unwrap).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_page_of_dead_letters_is_read_without_a_sort() {
    let db = database();
    let alike = Selection { fingerprint: Some("refused".to_owned()), ..Selection::default() };
    for subscription in [None, Some("mailer".to_owned())] {
        for (which, index) in [(Selection::default(), ""), (alike.clone(), "fingerprint=?")] {
            for before in [None, Some(7)] {
                let (subscription, which) = (subscription.clone(), which.clone());
                let wanted = DeadLetters { subscription, which, before };
                let (select, _) = dead_letters::query(&db, &wanted, 10).unwrap().unwrap();
                let plan = plan(&db, &select);
                assert!(!plan.contains("TEMP B-TREE"), "{wanted:?}: {plan}");
                assert!(plan.contains(index), "{wanted:?}: {plan}");
            }
        }
    }
}

#[test]
fn what_is_due_and_what_is_asked_for_is_found_by_an_index() {
    let db = database();
    let all = [due::HEADS, due::NEXT, due::CHAIN, waiting::NEXT, waiting::UNPARK, command::OPEN];
    for select in all.into_iter().chain([command::LETTERS, command::WAITING, settle::LAST_SUSPECT])
    {
        let plan = plan(&db, select);
        assert!(!plan.contains("SCAN consign"), "{select}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{select}: {plan}");
    }
    let heads = plan(&db, due::HEADS);
    assert!(heads.contains("consign_retry_due"), "{heads}");
}

#[test]
fn a_scheduled_message_and_a_held_name_are_found_by_an_index() {
    let db = database();
    let all = [scheduled::NEXT, scheduled::DUE, unique::FIND, unique::OLD, unique::IS_HANDLED];
    for select in all {
        let plan = plan(&db, select);
        assert!(!plan.contains("SCAN"), "{select}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{select}: {plan}");
    }
    let due = plan(&db, scheduled::DUE);
    assert!(due.contains("consign_scheduled_due (deliver_at<?)"), "{due}");
}

#[test]
fn why_a_subscription_waits_is_found_without_reading_all_that_waits() {
    let db = database();
    for select in [explain::FIRST, explain::HEAD, explain::PAUSED_KEY] {
        let plan = plan(&db, select);
        assert!(!plan.contains("SCAN "), "{select}: {plan}");
    }
    for select in [explain::FIRST, explain::HEAD] {
        let plan = plan(&db, select);
        assert!(plan.contains("consign_retry_due"), "{select}: {plan}");
    }
}
