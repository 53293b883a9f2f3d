//! Each example says what its `.out` file says, alone and in a directory of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn outbox_writes_the_message_with_the_row_or_not_at_all() {
    assert_prints("outbox", include_str!("../../examples/outbox.out"));
}

#[test]
fn projection_applies_a_folded_batch() {
    assert_prints("projection", include_str!("../../examples/projection.out"));
}

#[test]
fn backfill_reads_old_rows_in_pieces_and_then_the_messages() {
    assert_prints("backfill", include_str!("../../examples/backfill.out"));
}

#[test]
fn tower_layers_say_each_call_and_try_again_what_took_too_long() {
    assert_prints("tower_layers", include_str!("../../examples/tower_layers.out"));
}

fn assert_prints(example: &str, expected: &str) {
    let output = command(example).stderr(Stdio::inherit()).output().expect("it runs");
    assert!(output.status.success(), "{example} ended with {}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{example} says something else");
}

/// An example as a child process: cargo builds them beside the tests.
pub(crate) fn command(example: &str) -> Command {
    let program = directory().join(example).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        program.exists(),
        "{} is not built: run `cargo test -p consign`, or `cargo build -p consign --examples`",
        program.display()
    );
    Command::new(program)
}

fn directory() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).map(Path::to_path_buf);
    profile.expect("tests are in target/PROFILE/deps").join("examples")
}
