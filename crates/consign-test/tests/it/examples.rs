//! Each example says what its `.out` file says.

use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn torture_finds_the_handler_that_pays_twice() {
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test.ancestors().nth(2).map(Path::to_path_buf);
    let directory = profile.expect("tests are in target/PROFILE/deps").join("examples");
    let program = directory.join("torture").with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        program.exists(),
        "{} is not built: run `cargo test -p consign-test`, or `cargo build -p consign-test --examples`",
        program.display()
    );
    let output = Command::new(program).stderr(Stdio::inherit()).output().expect("it runs");
    assert!(output.status.success(), "it ended with {}", output.status);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, include_str!("../../examples/torture.out"), "it says something else");
}
