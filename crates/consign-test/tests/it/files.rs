//! Histories in files, one a process.

use consign_test::History;
use consign_test::history::{MessageNumber, Recorder, What};
use std::io::Write;
use std::path::Path;

fn published(number: u64) -> What {
    What::Published { message: MessageNumber(number), place: None }
}

#[test]
fn what_several_processes_noted_is_read_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let processes = [1, 2, 3].map(|process| Recorder::open(folder.path(), process).unwrap());
    for number in 0..300_u64 {
        processes[usize::try_from(number % 3).unwrap()].note(published(number)).unwrap();
    }
    let history = History::read(folder.path(), 7).unwrap();
    assert_eq!(history.seed, 7);
    assert!(history.events.is_sorted_by_key(|event| event.at));
    let read = history.events.iter().map(|event| (event.process, event.what.clone()));
    let noted = (0..300).map(|number| (u32::try_from(number % 3).unwrap() + 1, published(number)));
    assert!(read.eq(noted));
}

#[test]
fn threads_share_a_recorder_and_a_process_opens_its_file_again() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let recorder = Recorder::open(folder.path(), 1).unwrap();
        // One after the other: lines of threads at once may stand a little out of time.
        std::thread::scope(|scope| {
            let write = || (0..50).for_each(|number| recorder.note(published(number)).unwrap());
            scope.spawn(write).join().unwrap();
            scope.spawn(write).join().unwrap();
        });
        assert_eq!(History::read(folder.path(), 1).unwrap().events.len(), 100 * (round + 1));
    }
}

#[test]
fn a_last_line_that_was_cut_short_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    Recorder::open(folder.path(), 1).unwrap().note(published(1)).unwrap();
    append(folder.path(), r#"{"at":9999,"process":1,"ev"#);
    assert_eq!(History::read(folder.path(), 1).unwrap().events.len(), 1);
}

#[test]
fn a_line_that_is_no_event_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    Recorder::open(folder.path(), 1).unwrap().note(published(1)).unwrap();
    append(folder.path(), "{}\n");
    let error = History::read(folder.path(), 1).unwrap_err().to_string();
    assert!(error.contains("1.jsonl:2"), "{error}");
}

#[test]
fn a_process_whose_clock_went_back_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Recorder::open(folder.path(), 1).unwrap().note(published(1)).unwrap();
    append(folder.path(), "{\"at\":0,\"process\":1,\"event\":\"published\",\"message\":2}\n");
    let error = History::read(folder.path(), 1).unwrap_err().to_string();
    assert!(error.contains("the clock went back"), "{error}");
}

fn append(folder: &Path, text: &str) {
    let path = folder.join("1.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
