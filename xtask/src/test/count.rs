//! How many tests passed and failed, read from what the test programs print.

use std::fmt;
use std::iter::Sum;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) ignored: u64,
}

impl Counts {
    /// Reads a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; …` of a Rust test program.
    pub(super) fn of_rust_line(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("test result: ")?;
        let (_, figures) = rest.split_once(". ")?;
        let figure = |word: &str| {
            let found = figures.split(';').find_map(|part| part.trim().strip_suffix(word));
            found.and_then(|number| number.trim().parse().ok())
        };
        Some(Self {
            passed: figure("passed")?,
            failed: figure("failed")?,
            ignored: figure("ignored")?,
        })
    }

    /// Reads the closing lines (`# pass 3`, `# fail 0`, …) of Node's report in the Test Anything Protocol. What was
    /// cancelled did not pass.
    pub(super) fn of_node_report(report: &str) -> Option<Self> {
        let figure = |word: &str| {
            let prefix = format!("# {word} ");
            let line = report.lines().rev().find_map(|line| line.strip_prefix(&prefix));
            line.and_then(|number| number.trim().parse::<u64>().ok())
        };
        Some(Self {
            passed: figure("pass")?,
            failed: figure("fail")? + figure("cancelled")?,
            ignored: figure("skipped")? + figure("todo")?,
        })
    }

    pub(super) fn is_empty(self) -> bool {
        self.passed + self.failed == 0
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, one| Self {
            passed: sum.passed + one.passed,
            failed: sum.failed + one.failed,
            ignored: sum.ignored + one.ignored,
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return formatter.write_str("done");
        }
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)?;
        if self.ignored > 0 {
            write!(formatter, ", {} ignored", self.ignored)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn a_rust_program_that_failed_is_counted() {
        let line = "test result: FAILED. 12 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; \
                    finished in 0.02s";
        let counts = Counts { passed: 12, failed: 2, ignored: 1 };
        assert_eq!(Counts::of_rust_line(line), Some(counts));
    }

    #[test]
    fn other_lines_of_a_rust_program_count_nothing() {
        assert_eq!(Counts::of_rust_line("test result_is_kept ... ok"), None);
        assert_eq!(Counts::of_rust_line("running 12 tests"), None);
    }

    #[test]
    fn a_cancelled_browser_test_is_a_failed_one() {
        let report = "ok 1 - a\n# pass 99\n# tests 4\n# pass 1\n# fail 1\n# cancelled 2\n\
                      # skipped 0\n# todo 0\n";
        let counts = Counts { passed: 1, failed: 3, ignored: 0 };
        assert_eq!(Counts::of_node_report(report), Some(counts));
    }

    #[test]
    fn a_report_that_was_cut_off_counts_nothing() {
        assert_eq!(Counts::of_node_report("ok 1 - a\n# pass 1\n"), None);
    }
}
