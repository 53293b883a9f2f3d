//! Which figures are asked for, how often, on what.

use crate::Result;
use crate::backlog::{self, Waiting};
use crate::figures::Figure;
use crate::figures::api_while_workers::write_articles;
use crate::machine::{self, Watch};
use crate::record::{Goal, Record};
use crate::shim::Shim;
use crate::site::{Author, Site};
use clap::Parser;
use std::cell::{OnceCell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// What a sync costs on the slow disk.
const SLOW_SYNC: Duration = Duration::from_millis(4);
/// Messages of a long backlog, per second of a run: more than one worker of some can take.
const LONG_BACKLOG: f64 = 400_000.0;
/// Bytes of a message that says no more than an id.
pub(crate) const SMALL: usize = 60;
/// Who writes over HTTP.
const AUTHORS: usize = 16;
/// A run beside which other programs took more of a processor is worth little.
const OTHERS_MAX: f64 = 25.0;

/// Measures: each figure beside what it is compared with, in one run.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask bench")]
struct Arguments {
    /// Which figures; all of them unless some are named
    figures: Vec<Figure>,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// How long requests come, where a figure has requests
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Messages of a backlog
    #[arg(long, default_value_t = 1_000_000)]
    backlog: u64,
}

/// What all figures share.
pub(crate) struct Bench {
    pub(crate) seconds: f64,
    pub(crate) backlog: u64,
    folder: TempDir,
    sync: Duration,
    shim: OnceCell<Shim>,
    filled: RefCell<Vec<(Waiting, PathBuf)>>,
    authors: OnceCell<Vec<Author>>,
}

pub(crate) fn run() -> Result {
    let Arguments { figures, runs, seconds, backlog } = Arguments::parse();
    let all = <Figure as clap::ValueEnum>::value_variants();
    let figures = if figures.is_empty() { all.to_vec() } else { figures };
    let bench = Bench::new(seconds, backlog)?;
    let mut records = Vec::new();
    for figure in figures {
        let mut record = figure.record();
        for run in 1..=runs {
            println!("{} {run}/{runs}", figure.name());
            bench.run_once(figure, run, &mut record)?;
        }
        record.print();
        records.push(record);
    }
    println!("\nAll figures: median, least … most.");
    records.iter().for_each(Record::print);
    Ok(())
}

impl Bench {
    fn new(seconds: f64, backlog: u64) -> Result<Self> {
        // Beside this program, below target/: /tmp may be a disk without syncs.
        let program = std::env::current_exe()?;
        let beside = program.parent().unwrap_or(Path::new("."));
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
        let sync = machine::sync_cost(folder.path())?;
        Ok(Self {
            seconds,
            backlog,
            folder,
            sync,
            shim: OnceCell::new(),
            filled: RefCell::default(),
            authors: OnceCell::new(),
        })
    }

    fn run_once(&self, figure: Figure, run: u32, record: &mut Record) -> Result {
        let sync = machine::sync_cost(self.folder.path())?;
        record.add("a sync on this disk", "ms", Goal::None, sync.as_secs_f64() * 1e3);
        let watch = Watch::start()?;
        figure.measure(self, run, record)?;
        record.add("other programs", "% of 1", Goal::AtMost(OTHERS_MAX), watch.others()?);
        Ok(())
    }

    /// Messages enough for workers that drain while requests come.
    pub(crate) fn long_backlog(&self) -> u64 {
        self.backlog.max((self.seconds * LONG_BACKLOG) as u64)
    }

    /// A path for a database of a run, that the next run may take again.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path where no database is.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        backlog::remove(&path)?;
        Ok(path)
    }

    /// A copy, under this name, of a database with these messages waiting.
    pub(crate) fn with_backlog(&self, name: &str, waiting: Waiting) -> Result<PathBuf> {
        let copy = self.path(name);
        backlog::copy(&self.filled(waiting)?, &copy)?;
        Ok(copy)
    }

    fn filled(&self, waiting: Waiting) -> Result<PathBuf> {
        let known = self.filled.borrow().iter().find(|(of, _)| *of == waiting).cloned();
        if let Some((_, path)) = known {
            return Ok(path);
        }
        let Waiting { messages, bytes } = waiting;
        let path = self.path(&format!("backlog-{messages}-{bytes}.db"));
        backlog::fill(&path, waiting)?;
        self.filled.borrow_mut().push((waiting, path.clone()));
        Ok(path)
    }

    /// The data of a blog with articles and authors who are signed in.
    pub(crate) fn blog(&self) -> Result<(PathBuf, Vec<Author>)> {
        let data = self.path("data");
        fs::create_dir_all(&data)?;
        let authors = self.authors()?;
        backlog::copy(&self.path("blog.db"), &data.join("blog.db"))?;
        Ok((data, authors))
    }

    /// The same, with a long backlog of another topic.
    pub(crate) fn blog_with_backlog(&self) -> Result<(PathBuf, Vec<Author>)> {
        let (data, authors) = self.blog()?;
        let filled = self.path("blog-with-backlog.db");
        if !filled.exists() {
            backlog::copy(&self.path("blog.db"), &filled)?;
            backlog::fill(&filled, Waiting { messages: self.long_backlog(), bytes: SMALL })?;
        }
        backlog::copy(&filled, &data.join("blog.db"))?;
        Ok((data, authors))
    }

    fn authors(&self) -> Result<Vec<Author>> {
        if let Some(authors) = self.authors.get() {
            return Ok(authors.clone());
        }
        let data = self.path("first");
        let site = Site::start(&data, &[], None)?;
        let sign_up = |number| site.sign_up(&format!("author-{number}"));
        let authors = (0..AUTHORS).map(sign_up).collect::<Result<Vec<_>>>()?;
        write_articles(&site, &authors)?;
        site.end()?;
        backlog::close(&data.join("blog.db"))?;
        backlog::copy(&data.join("blog.db"), &self.path("blog.db"))?;
        Ok(self.authors.get_or_init(|| authors).clone())
    }

    /// What makes each sync cost [`SLOW_SYNC`].
    pub(crate) fn slow_disk(&self) -> Result<&Shim> {
        if self.shim.get().is_none() {
            let shim = Shim::compile(self.folder.path(), self.sync, SLOW_SYNC)?;
            let _ = self.shim.set(shim);
        }
        self.shim.get().ok_or_else(|| "the shim has just been set".into())
    }
}
