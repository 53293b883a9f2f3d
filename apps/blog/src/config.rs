//! What was typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// A blogging site: a request answers at once, workers keep counts and search and write mails.
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

    /// What links in mails begin with; http:// and the address of --listen unless it is given
    #[arg(long, global = true, value_name = "URL", env = "BLOG_URL")]
    pub(crate) url: Option<String>,

    /// The server that takes mails, such as `smtps://NAME:PASSWORD@HOST`; they are written to DIR/mail
    /// unless it is given
    #[arg(long, global = true, value_name = "URL", env = SMTP, hide_env_values = true)]
    smtp: Option<String>,
}

/// Where a mail server's address may stand, too: nobody else on the machine reads it there.
pub(crate) const SMTP: &str = "BLOG_SMTP";

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
    /// Writes each author a receipt for each published article, to NAME@localhost: accounts have no
    /// address
    Mailer,
}

impl Config {
    /// The mail server's address; none if it is empty, too, which is how an environment says no.
    pub(crate) fn smtp(&self) -> Option<&str> {
        self.smtp.as_deref().filter(|url| !url.is_empty())
    }

    /// What the address of each page begins with, as a reader on this machine can open it.
    pub(crate) fn site(&self) -> String {
        match self.url.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", openable(&self.listen)),
        }
    }
}

impl WorkerName {
    pub(crate) const ALL: [Self; 3] = [Self::Counter, Self::Search, Self::Mailer];

    /// How many of it the whole blog starts.
    pub(crate) const fn processes(self) -> usize {
        match self {
            Self::Counter | Self::Search => 1,
            Self::Mailer => 2,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Search => "search",
            Self::Mailer => "mailer",
        }
    }
}

/// An address that stands for all of this machine's is none that a browser can ask.
fn openable(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0" | "[::]", port)) => format!("localhost:{port}"),
        _ => listen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_where_the_site_is_served() {
        let site =
            |flags: &[&str]| Config::parse_from(["blog"].iter().chain(flags).copied()).site();
        assert_eq!(site(&[]), "http://127.0.0.1:8080");
        assert_eq!(site(&["--listen", "0.0.0.0:80"]), "http://localhost:80");
        assert_eq!(site(&["--listen", "[::]:80"]), "http://localhost:80");
        assert_eq!(site(&["--listen", "[::1]:80"]), "http://[::1]:80");
        assert_eq!(site(&["--url", "https://blog.example/"]), "https://blog.example");
    }
}
