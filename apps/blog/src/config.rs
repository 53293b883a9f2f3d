//! What was typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// A blogging site: a request answers at once, workers keep counts and search.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Config {
    /// Which part to run; all of them unless one is named
    #[command(subcommand)]
    pub(crate) part: Option<Part>,

    /// Where the site is served
    #[arg(long, global = true, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,

    /// Where everything is kept; made where it is missing
    #[arg(long, global = true, value_name = "DIR", default_value = "./data")]
    pub(crate) data: PathBuf,
}

/// One part of the site in a process of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Serve pages and API, without workers
    Api,
    /// Run one worker; several of the same share its work
    Worker {
        /// Which one
        name: WorkerName,
        /// End when standard input does, and show on standard output that it lives
        #[arg(long, hide = true)]
        supervised: bool,
    },
}

/// The workers that there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WorkerName {
    /// Keeps the number of articles of each author
    Counter,
    /// Keeps the search index
    Search,
}

impl WorkerName {
    pub(crate) const ALL: [Self; 2] = [Self::Counter, Self::Search];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Search => "search",
        }
    }
}
