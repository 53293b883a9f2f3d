//! A blogging site on consign: a request answers at once, its effects happen once.

mod account;
mod api;
mod article;
mod audit;
mod author;
mod blank;
mod body;
mod config;
mod cookie;
mod counter;
mod csrf;
mod db;
mod excerpt;
mod failures;
mod headers;
mod login;
mod mail;
mod markdown;
mod messages;
mod moment;
mod own_writes;
mod passwords;
mod problem;
mod ready;
mod search;
mod seed;
mod serve;
mod state;
mod stop;
mod subscriptions;
mod supervise;
mod supervised;
mod web;
mod worker;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use consign::sqlite::Consign;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, Part, WorkerName};
use crate::state::App;
use crate::stop::Stop;
use crate::supervise::Supervisor;

/// What `main` prints when it ends in an error: a sentence, whatever its cause.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let config = Config::parse();
    log_to_stderr();
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blog: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), BoxError> {
    let stop = Stop::on_signals()?;
    match config.part {
        Some(Part::Worker { name, supervised }) => {
            worker::run(name, &config, supervised, stop).await
        }
        Some(Part::Api) => site(config, &stop, false).await,
        None => site(config, &stop, true).await,
    }
}

/// Serves the site, with its workers below this process if they are asked for.
async fn site(config: Config, stop: &Stop, with_workers: bool) -> Result<(), BoxError> {
    let config = Arc::new(config);
    mail::check(&config)?;
    let listener = serve::listen(&config.listen).await?;
    let db = db::open(&config.data).await?;
    let consign = Consign::open(&db).await?;
    seed::plant(&db, &consign).await?;
    let listen = listener.local_addr()?;
    let supervisor = with_workers.then(|| Supervisor::start(&config, listen, stop)).transpose()?;
    print_banner(&config, listen);
    serve::serve(listener, App::new(db.clone(), consign, stop.clone())).await;
    if let Some(supervisor) = supervisor {
        supervisor.drain().await;
    }
    db.close().await;
    Ok(())
}

fn print_banner(config: &Config, listen: SocketAddr) {
    let workers = match config.part {
        None => WorkerName::ALL.map(title).join(" · "),
        Some(_) => "none here: start them with `blog worker NAME`".to_owned(),
    };
    let version = env!("CARGO_PKG_VERSION");
    let file = config.data.join("blog.db");
    // Nobody reads it, or the disk it goes to is full: the site runs all the same.
    let _ = writeln!(
        std::io::stdout(),
        "\n  blog {version} · a blogging site on consign\n\n  \
         database   SQLite, {}\n  \
         api        this process\n  \
         workers    {workers}\n\n  \
         ➜  Blog      http://{listen}/\n  \
         ➜  API       http://{listen}/api/openapi.json\n\n  \
         ctrl-c stops everything\n",
        file.display(),
    );
}

/// A worker, and how many of it there are.
fn title(worker: WorkerName) -> String {
    match worker.processes() {
        1 => worker.as_str().to_owned(),
        several => format!("{} ×{several}", worker.as_str()),
    }
}

/// `CONSIGN_LOG` or `RUST_LOG` says how much; standard output stays free for the banner.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("CONSIGN_LOG")
        .or_else(|_| EnvFilter::try_from_default_env())
        .unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
