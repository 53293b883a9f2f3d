//! What the runs of a figure gave, and the table that says it.

use crate::latencies::median;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is only said.
    None,
}

/// One line of the table: a value a run.
struct Line {
    measure: String,
    unit: &'static str,
    goal: Goal,
    values: Vec<f64>,
}

/// A figure's values so far.
pub(crate) struct Record {
    name: &'static str,
    durability: &'static str,
    lines: Vec<Line>,
}

impl Record {
    pub(crate) fn new(name: &'static str, durability: &'static str) -> Self {
        Self { name, durability, lines: Vec::new() }
    }

    /// Adds the value of one run.
    pub(crate) fn add(&mut self, measure: &str, unit: &'static str, goal: Goal, value: f64) {
        println!("  {measure}: {} {unit}", shown(value));
        if let Some(line) = self.lines.iter_mut().find(|line| line.measure == measure) {
            line.values.push(value);
        } else {
            let (measure, values) = (measure.to_owned(), vec![value]);
            self.lines.push(Line { measure, unit, goal, values });
        }
    }

    pub(crate) fn print(&self) {
        println!("\n{} ({})", self.name, self.durability);
        for line in &self.lines {
            line.print();
        }
    }
}

impl Line {
    fn print(&self) {
        let Self { measure, unit, values, .. } = self;
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (middle, runs) = (shown(median(values)), values.len());
        let (least, most) = (shown(least), shown(most));
        let verdict = self.verdict();
        println!(
            "  {measure:<48}{middle:>10} {unit:<9} {least:>10} … {most:<10} {runs} runs {verdict}"
        );
    }

    fn verdict(&self) -> String {
        let middle = median(&self.values);
        let word = |good| if good { "met" } else { "MISSED" };
        match self.goal {
            Goal::AtLeast(goal) => format!("goal ≥ {}: {}", shown(goal), word(middle >= goal)),
            Goal::AtMost(goal) => format!("goal ≤ {}: {}", shown(goal), word(middle <= goal)),
            Goal::None => String::new(),
        }
    }
}

/// Three digits, or the whole number where there are more.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
